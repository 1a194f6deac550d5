"""A node whose places are full: it takes its next message when a place becomes free, not at the next tick."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from gristmill_storage.queue import Message, Queue

#: A node whose tasks are short, and are noted.
NODE = """
    import sys, time
    from gristmill_storage.queue import NodeTasks, serve

    def note(message):
        time.sleep(0.01)
        with open(sys.argv[2], "a") as runs:
            runs.write(f"{message.slot}\\n")

    def done():
        pass

    tasks = NodeTasks(
        run_instance=note,
        aggregate=note,
        refuse=note,
        drain=done,
        ready=lambda: print("ready", flush=True),
        free=lambda: True,
        stalled=done,
    )
    serve(sys.argv[1], compute="full", slots=2, name="full", tasks=tasks)
"""

#: Many more than a node of two places takes at ticks within the time allowed.
MESSAGES = 40
SECONDS = 10.0


class Node:
    """A process that serves, and what it notes."""

    def __init__(self, url: str, folder: Path) -> None:
        self.client = redis.Redis.from_url(url, protocol=2, decode_responses=True)
        self.queue = Queue(url)
        self._runs = folder / "runs"
        self._runs.touch()
        command = [sys.executable, "-c", textwrap.dedent(NODE), url, str(self._runs)]
        with (folder / "log").open("w") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    @property
    def runs(self) -> list[int]:
        return sorted(map(int, self._runs.read_text().split()))

    def take(self, first: int) -> float:
        """Send messages, and return the seconds until all of them were run."""
        numbers = range(first, first + MESSAGES)
        for number in numbers:
            self.queue.send_instance("full", Message(job="j", folder="/f", slot=number))
        began = time.monotonic()
        while not set(numbers) <= set(self.runs):
            assert time.monotonic() - began < 60, f"taken so far: {self.runs}"
            time.sleep(0.01)
        return time.monotonic() - began

    def lose_connection(self) -> None:
        """Cut what the node waits for messages on, and wait until it waits on another."""
        (waiting,) = self._waiting()
        self.client.execute_command("CLIENT", "KILL", "ID", waiting)
        deadline = time.monotonic() + 30
        while self._waiting() in ([], [waiting]):
            assert time.monotonic() < deadline, "the node did not connect again"
            time.sleep(0.01)

    def _waiting(self) -> list[str]:
        clients = self.client.client_list()
        return [client["id"] for client in clients if client["cmd"] == "brpop" and "b" in client["flags"]]

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.queue.close()
        self.client.close()


@pytest.fixture
def node(redis_url: str, tmp_path: Path) -> Iterator[Node]:
    made = Node(redis_url, tmp_path)
    yield made
    made.end()


def test_a_place_that_becomes_free_is_filled_at_once_also_after_a_lost_connection(node: Node) -> None:
    assert node.take(0) < SECONDS

    node.lose_connection()

    assert node.take(MESSAGES) < SECONDS
    assert node.runs == list(range(2 * MESSAGES))
