"""A node: a machine that takes instances and aggregations from its compute's queue, until it is told to leave."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
import uuid
from collections.abc import Sequence
from typing import Final

from gristmill.errors import GristmillError, Mistake
from gristmill.settings import ProcessSettings
from gristmill.spec import Job, from_json
from gristmill_storage import job_folder
from gristmill_storage.files import Store, open_store
from gristmill_storage.ledger import Ledger
from gristmill_storage.queue import Message, NodeTasks, serve
from gristmill_workers.aggregator import aggregate
from gristmill_workers.heartbeat import Heartbeat
from gristmill_workers.instance import Instance
from gristmill_workers.scoring import Assignment

#: Seconds that a node whose owner died is given to leave by itself.
ORPHAN_SECONDS: Final = 1.5

log = logging.getLogger("gristmill.node")


class Node:
    """Does what the queue's messages ask for."""

    def __init__(self, settings: ProcessSettings, *, slots: int) -> None:
        """Take the process's settings and how many tasks run at once."""
        self._settings = settings
        self._slots = slots
        self._ledger = Ledger(settings.redis_url)
        self._drain = threading.Event()

    def tasks(self) -> NodeTasks:
        """Return what the queue calls."""
        return NodeTasks(
            run_instance=self._run_instance,
            aggregate=self._aggregate,
            drain=self._drain.set,
            ready=lambda: log.info("node %s takes work", self._settings.node_name),
        )

    def _run_instance(self, message: Message) -> None:
        folder = open_store(message.folder)
        job = _read_job(folder)
        assignment = Assignment(
            job=job,
            folder=folder,
            slot=message.slot,
            ledger=self._ledger,
            settings=self._settings,
            drain=self._drain,
            share=min(self._slots, job.deployment.instance_count),
        )
        Instance(assignment).run()

    def _aggregate(self, message: Message) -> None:
        folder = open_store(message.folder)
        job = _read_job(folder)
        name = f"aggregator-{uuid.uuid4().hex[:8]}"
        info = {"role": "aggregator", "node": self._settings.node_name}
        registration = self._ledger.register(job.name, instance=name, info=info)
        if registration.state == "closed":
            return
        heartbeat = Heartbeat(
            lambda news: self._ledger.renew(job.name, instance=name, info=news),
            lease_seconds=registration.lease_seconds,
        )
        heartbeat.start(info)
        try:
            aggregate(job, folder, self._ledger, publish=message.publish)
        finally:
            heartbeat.stop()
            self._ledger.leave(job.name, instance=name)


def _read_job(folder: Store) -> Job:
    return from_json(Job, json.loads(folder.read(job_folder.SPEC)))


def _leave_with_owner() -> None:
    """End this process when its stdin ends: whoever started it is gone."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        log.info("the owner is gone: leaving")
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(ORPHAN_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="owner", daemon=True).start()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a node until it is told to leave."""
    parser = argparse.ArgumentParser(prog="gristmill_workers", description="Take work from a compute's queue.")
    parser.add_argument("--compute", required=True, help="the compute whose queue is served")
    parser.add_argument("--slots", type=int, default=1, help="instances at once (default: 1)")
    parser.add_argument("--owned", action="store_true", help="leave when stdin ends")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = ProcessSettings.read()
        if not settings.redis_url:
            raise Mistake("GRISTMILL_REDIS_URL is not set; give the address of the Redis server of the cluster")
        if options.slots < 1:
            raise Mistake(f"--slots {options.slots}: give 1 or more")
        if options.owned:
            _leave_with_owner()
        node = Node(settings, slots=options.slots)
        serve(
            settings.redis_url,
            compute=options.compute,
            slots=options.slots,
            name=settings.node_name,
            tasks=node.tasks(),
        )
    except GristmillError as error:
        sys.stderr.write(f"error: {error.message}\n")
        return error.exit_code
    return 0
