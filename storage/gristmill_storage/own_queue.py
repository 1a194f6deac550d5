"""The queue on the server of the one-machine mode: Celery's messages in Celery's lists, without Celery.

Celery takes 0.4 s of processor time to import, in the scheduler and in the node, of a job that may last half a second;
and nobody but these two is there to be told of by its remote control. So on a unix socket of ours messages are put and
taken by hand. They are the same messages in the same lists: a node that runs Celery takes what is sent here, and what
Celery sends is taken here.
"""

from __future__ import annotations

import base64
import json
import logging
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from gristmill.errors import LedgerFailed
from gristmill_storage.ledger.wire import Client, Connection, Refused, address
from gristmill_storage.message_spans import sending
from gristmill_storage.messages import (
    AGGREGATE,
    KEY_PREFIX,
    LOOKED_THROUGH,
    RUN_INSTANCE,
    Message,
    NodeTasks,
    opened,
    queue_name,
    read,
    work_on,
)

#: Seconds that the server is asked to wait for a message, and by how much longer its answer may take.
_WAIT_SECONDS: Final = 30
_MORE_SECONDS: Final = 10.0

#: Seconds between two tries to reach a server that is away: the first, and the longest.
_FIRST_PAUSE: Final = 0.002
_LONGEST_PAUSE: Final = 1.0

#: Seconds after which the sending side tries again.
_TRIES: Final = (0.0, 0.1, 0.3, 0.5)

#: Seconds between two looks of a node at itself.
_LOOK_SECONDS: Final = 1.0

log = logging.getLogger("gristmill.node")


class OwnQueue:
    """The sending side: see `messages.Sender`."""

    def __init__(self, url: str, *, timeout: float = 5.0) -> None:
        """Take the server's address, and the seconds that one answer may take; nothing is connected yet."""
        self._client = Client(url, timeout)

    def send_instance(self, compute: str, message: Message) -> None:
        """Ask for one instance of a job on a compute."""
        self._send(RUN_INSTANCE, compute, message)

    def send_aggregate(self, compute: str, message: Message) -> None:
        """Ask for a job's parts to be merged."""
        self._send(AGGREGATE, compute, message)

    def _send(self, task: str, compute: str, message: Message) -> None:
        queue = queue_name(compute)
        with _wording(f"the queue of compute {compute} cannot be reached"), sending(message, queue) as sent:
            self._ask("LPUSH", KEY_PREFIX + queue, envelope(task, sent, queue))

    def waiting(self, compute: str, job: str) -> list[tuple[str, Message]]:
        """Return the messages of a job that nobody has taken, each with its task; of a long queue, those taken next."""
        with _wording(f"the queue of compute {compute} cannot be reached"):
            raw = self._ask("LRANGE", KEY_PREFIX + queue_name(compute), -LOOKED_THROUGH, -1)
        return [found for found in map(read, raw) if found is not None and found[1].job == job]

    def remove(self, compute: str) -> None:
        """Delete a compute's queue and what Celery noted about it: for computes that live as long as one job."""
        queue = queue_name(compute)
        names = (queue, f"_kombu.binding.{queue}", f"_kombu.binding_permanent.{queue}")
        with _wording(f"the queue of compute {compute} cannot be removed"):
            self._ask("DEL", *names, *(KEY_PREFIX + name for name in names))

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, *words: Any) -> Any:
        """Send a command, again where the server was away for a moment: a message that comes twice does no harm."""
        for pause in _TRIES:
            try:
                return self._client.ask(*words)
            except OSError:
                time.sleep(pause)
        return self._client.ask(*words)


def envelope(task: str, message: Message, queue: str) -> str:
    """Return a message as Celery puts it into a queue (the second version of its protocol, over Redis)."""
    name = str(uuid.uuid4())
    links = dict.fromkeys(("callbacks", "errbacks", "chain", "chord"))
    body = json.dumps([[], message.to_json(), links]).encode()
    headers = {
        "lang": "py",
        "task": task,
        "id": name,
        "root_id": name,
        "parent_id": None,
        "group": None,
        "retries": 0,
        "timelimit": [None, None],
        "origin": f"{os.getpid()}@{socket.gethostname()}",
        "ignore_result": True,
    }
    properties = {
        "correlation_id": name,
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": queue},
        "priority": 0,
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
    }
    return json.dumps(
        {
            "body": base64.b64encode(body).decode("ascii"),
            "content-encoding": "utf-8",
            "content-type": "application/json",
            "headers": headers,
            "properties": properties,
        }
    )


def serve(url: str, *, compute: str, slots: int, tasks: NodeTasks) -> None:
    """Take tasks from a compute's queue until the process is told to leave (SIGTERM, SIGINT) and the last one ended.

    Each task runs in a thread of its own, at most `slots` at once. For the main thread.
    """
    intake = _Intake(url, KEY_PREFIX + queue_name(compute), slots, tasks)
    leaving = threading.Event()

    def leave(_number: int, _frame: FrameType | None) -> None:
        leaving.set()

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        intake.start()
        while not leaving.wait(_LOOK_SECONDS):
            tasks.free()  # it sees to the node's own affairs, too
        tasks.drain()
        intake.end()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Intake:
    """Takes messages one by one, each when there is a place for what it asks for."""

    def __init__(self, url: str, key: str, slots: int, tasks: NodeTasks) -> None:
        self._address = address(url)
        self._key = key
        self._tasks = tasks
        self._slots = slots
        self._places = threading.Semaphore(slots)
        self._connection: Connection | None = None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="intake", daemon=True)

    def start(self) -> None:
        """Begin to take messages."""
        self._thread.start()

    def end(self) -> None:
        """Take no more, and return when the last task has ended."""
        self._ending.set()
        if (connection := self._connection) is not None:
            connection.finish()
        for _ in range(self._slots):
            self._places.acquire()

    def _run(self) -> None:
        pause, ready = _FIRST_PAUSE, False
        while not self._ending.is_set():
            try:
                self._connection = Connection(*self._address, _WAIT_SECONDS + _MORE_SECONDS)
                self._connection.ask("PING")
                if not ready:
                    self._tasks.ready()
                ready, pause = True, _FIRST_PAUSE
                while not self._ending.is_set():
                    self._take(self._connection)
            except (OSError, Refused) as error:
                log.debug("the queue cannot be reached: %s", error)
                self._ending.wait(pause)
                pause = min(_LONGEST_PAUSE, 2 * pause)
            except ValueError as error:
                log.warning("dropped a message that cannot be read: %s", type(error).__name__)

    def _take(self, connection: Connection) -> None:
        """Wait for a place, then for a message, and begin what it asks for.

        Raises:
            OSError, Refused: the server cannot be used.
            ValueError: what it gave is no text.

        """
        self._places.acquire()
        begun = False
        try:
            found = connection.ask("BRPOP", self._key, _WAIT_SECONDS)
            if found is not None and self._ending.is_set():
                self._put_back(found[1])
            elif found is not None:
                begun = self._begin(found[1])
        finally:
            if not begun:
                self._places.release()

    def _put_back(self, raw: str) -> None:
        """Leave a message to others: it came when this node had begun to leave."""
        connection = Connection(*self._address, _MORE_SECONDS)
        connection.ask("RPUSH", self._key, raw)
        connection.close()

    def _begin(self, raw: str) -> bool:
        """Run a task in a thread of its own; False: there is none."""
        try:
            task, document = opened(raw)
        except ValueError as error:
            log.warning("dropped a message that cannot be read: %s", error)
            return False
        if task not in (RUN_INSTANCE, AGGREGATE):
            log.warning("dropped a message of another kind")
            return False
        threading.Thread(target=self._do, args=(task, document), name=task, daemon=True).start()
        return True

    def _do(self, task: str, document: dict[str, Any]) -> None:
        try:
            work_on(task, document, self._tasks)
        finally:
            self._places.release()


@contextmanager
def _wording(what: str) -> Iterator[None]:
    """Turn what a server that is away, slow or starting makes of a call into `LedgerFailed`."""
    try:
        yield
    except (OSError, Refused, ValueError) as error:
        raise LedgerFailed(f"{what}: {error}") from error
