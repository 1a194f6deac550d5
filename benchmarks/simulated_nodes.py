"""Many nodes in one process, their scorers asleep: `python -m benchmarks.simulated_nodes URL --first N --nodes N ...`.

Each node is the real one, with its own connections, and takes messages from the queue as it does; so is all that it
does for a job but the scoring. When stdin ends, what was counted is written to stdout, as JSON.
"""

from __future__ import annotations

import argparse
import gc
import json
import logging
import os
import selectors
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from benchmarks.sleeping import ANSWERS, TOGETHER, TOOK, SleepingProcess, SleepingSelector, TimedLedger

from gristmill.settings import ProcessSettings
from gristmill_storage.messages import KEY_PREFIX, queue_name
from gristmill_storage.own_queue import _Intake
from gristmill_workers import node, pool, scorer_process
from gristmill_workers.feeding import ALONE_SECONDS


def main() -> None:
    """Be nodes until stdin ends."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="the server, on a unix socket")
    parser.add_argument("--compute", required=True)
    parser.add_argument("--first", type=int, required=True, help="number of the first node")
    parser.add_argument("--nodes", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="that a mini-batch takes")
    parser.add_argument("--scratch", type=Path, required=True)
    given = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    SleepingProcess.seconds = given.seconds
    if given.seconds <= ALONE_SECONDS:  # else a scorer is given nothing before it has answered
        SleepingSelector.together = TOGETHER * given.seconds
    waits = SimpleNamespace(**{**vars(selectors), "DefaultSelector": SleepingSelector})
    gc.disable()  # it would go through what all nodes hold whenever one of them has made something
    threading.stack_size(256 << 10)
    sys.setswitchinterval(0.1)  # hundreds of threads would wake two hundred times a second to ask for their turn
    with (
        patch.object(node, "Ledger", TimedLedger),
        patch.object(pool, "ScorerProcess", SleepingProcess),
        patch.object(scorer_process, "ScorerProcess", SleepingProcess),
        patch.object(pool, "selectors", waits),
    ):
        for number in range(given.first, given.first + given.nodes):
            _begin(number, given)
        print("ready", flush=True)
        sys.stdin.read()
    print(json.dumps({"took": TOOK, "answers": ANSWERS}), flush=True)
    os._exit(0)  # the threads wait for messages


def _begin(number: int, given: argparse.Namespace) -> None:
    """Let a node of one place take work."""
    own = {"GRISTMILL_NODE_NAME": f"node{number:04d}", "GRISTMILL_SCRATCH": str(given.scratch)}
    settings = ProcessSettings.read({**os.environ, **own, "GRISTMILL_REDIS_URL": given.url})
    tasks = node.Node(settings, compute=given.compute, slots=1).tasks()
    _Intake(given.url, KEY_PREFIX + queue_name(given.compute), 1, tasks).start()


if __name__ == "__main__":
    main()
