from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gristmill.spec import Deployment, Input, Job, Model, Output, Settings
from gristmill_storage.queue import Message


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., Job]:
    """Make a job on a folder of `count` files, with the settings given."""

    def make(count: int = 25, *, instances: int = 1, **settings: Any) -> Job:
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        for number in range(count):
            (folder / f"{number:04d}.txt").touch()
        return Job(
            name="job-1",
            deployment=Deployment(
                name="d",
                model=Model(path=str(folder)),
                compute="c",
                instance_count=instances,
                settings=Settings(**settings),
            ),
            input=Input(uri=str(folder)),
            output=Output(folder=str(tmp_path / "out")),
            submitted=1.0,
        )

    return make


class RecordingQueue:
    """A queue that keeps what it is sent; `take` empties it, as a node would."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, Message]] = []
        #: Messages that nobody has taken, as `Queue.waiting` tells them.
        self.lying: list[tuple[str, Message]] = []
        self.on_send: Callable[[str, Message], None] = lambda _kind, _message: None

    def send_instance(self, compute: str, message: Message) -> None:
        self._send("instance", message)

    def send_aggregate(self, compute: str, message: Message) -> None:
        self._send("aggregate", message)

    def _send(self, kind: str, message: Message) -> None:
        self.sent.append((kind, message))
        self.lying.append((f"gristmill.{'run_instance' if kind == 'instance' else kind}", message))
        self.on_send(kind, message)

    def waiting(self, compute: str, job: str) -> list[tuple[str, Message]]:
        return [(task, message) for task, message in self.lying if message.job == job]

    def take(self) -> None:
        self.lying.clear()


@pytest.fixture
def queue() -> RecordingQueue:
    return RecordingQueue()
