"""Scorers that sleep, and a ledger that notes how long its calls take: what a simulated node has in place of the real.

All else of a node is real, its pool of scorers too. A scorer's answer is what a script gives that returns its items.
"""

from __future__ import annotations

import selectors
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from gristmill_storage.ledger import Ledger
from gristmill_workers.scorer_process import Launch

#: Of the time that a mini-batch takes, the share that an instance waits for further answers when one is due, so that a
#: core can simulate hundreds of scorers: they do not wait meanwhile where each has its next mini-batch already.
TOGETHER: Final = 0.8


class SleepingProcess:
    """What `ScorerProcess` is to a pool, without a process."""

    #: Seconds that a mini-batch takes.
    seconds: float = 0.1

    def __init__(self, launch: Launch) -> None:
        """Be ready at once."""
        self.launch = launch
        self.started = time.monotonic()
        self.pid = 0
        self.blocked = False
        #: Frames to be received, each with when it is there.
        self._coming: deque[tuple[float, dict[str, Any], bytes]] = deque()
        self._coming.append((self.started, {"type": "ready", "init_seconds": 0.0}, b""))
        #: When the next frame is there.
        self.due = self.started

    @property
    def results(self) -> SleepingProcess:
        """Return what the selector is to wait for."""
        return self

    #: Never waited for: nothing is ever blocked.
    commands = None

    def send(self, header: Mapping[str, Any], payload: bytes = b"") -> None:
        """Take a frame; all that it holds is answered together, when the last of it would be done."""
        if header["type"] == "lines":
            batches = list(map(_of_line, payload.split(b"\n")))
        else:
            batches = [(batch["n"], [item.encode() for item in batch["items"]]) for batch in header.get("batches", ())]
        if batches:
            begins = max(time.monotonic(), self._coming[-1][0] if self._coming else 0.0)
            self._coming.append((begins + len(batches) * self.seconds, *self._answer(batches)))
            self.due = self._coming[0][0]

    def _answer(self, batches: Sequence[tuple[int, list[bytes]]]) -> tuple[dict[str, Any], bytes]:
        rows = [b"\n".join([*items, b""]) for _, items in batches]
        header = {
            "type": "scored",
            "n": [number for number, _ in batches],
            "rows": [len(items) for _, items in batches],
            "us": [round(self.seconds * 1e6)] * len(batches),
            "bytes": list(map(len, rows)),
            "columns": None,
            "encoding": "text",
            "writing": 0,
        }
        return header, b"".join(rows)

    def receive(self) -> list[tuple[dict[str, Any], bytes]]:
        """Return the frames that are there."""
        now, frames = time.monotonic(), []
        while self._coming and self._coming[0][0] <= now:
            _, header, payload = self._coming.popleft()
            frames.append((header, payload))
        self.due = self._coming[0][0] if self._coming else float("inf")
        return frames

    def flush(self) -> None:
        """Do nothing: all was sent."""

    def running(self) -> tuple[int | None, float]:
        """Return that it is in no mini-batch: none is ever too slow."""
        return None, 0.0

    def culprit(self) -> int | None:
        """Return nothing: it never dies."""

    def dump_stacks(self) -> str:
        """Return nothing."""
        return ""

    log_tail = dump_stacks

    def kill(self) -> None:
        """Answer nothing any more."""
        self._coming.clear()
        self.due = float("inf")

    def close(self, _patience: float = 0.0) -> str:
        """Answer nothing any more; return an end in words."""
        self.kill()
        return "exit code 0"


def _of_line(line: bytes) -> tuple[int, list[bytes]]:
    """Return a mini-batch's number and items by its line, which is read as it is written: names here need no escape.

    A scorer has a process of its own elsewhere; what it takes here is taken from the nodes.
    """
    head, items = line.split(b',"items":["')
    return int(head.removeprefix(b'{"n":')), items[: items.index(b'"]')].split(b'","')


class Key(NamedTuple):
    """What was registered."""

    fileobj: Any
    data: Any


#: Whose turn it is: threads that all wanted the interpreter would hand it to and fro more than they work.
_TURN: Final = threading.Lock()


class SleepingSelector:
    """Waits until a sleeping scorer has answered."""

    #: Seconds that it waits for further answers then.
    together: float = 0.0

    def __init__(self) -> None:
        """Begin with none."""
        self._keys: dict[Any, Key] = {}
        self._on_turn = False

    def register(self, fileobj: Any, _events: int, data: Any = None) -> None:
        """Wait for that one, too."""
        self._keys[fileobj] = Key(fileobj, data)

    def unregister(self, fileobj: Any) -> None:
        """Wait for that one no more."""
        del self._keys[fileobj]

    def select(self, timeout: float) -> list[tuple[Key, int]]:
        """Return those that have answered, after so many seconds at most."""
        now = time.monotonic()
        due = min([process.due for process in self._keys], default=float("inf"))
        self._rest()
        time.sleep(max(0.0, min(timeout, due + self.together - now)))
        _TURN.acquire()
        self._on_turn = True
        now = time.monotonic()
        return [(key, selectors.EVENT_READ) for process, key in self._keys.items() if process.due <= now]

    def close(self) -> None:
        """Forget all."""
        self._rest()
        self._keys.clear()

    def _rest(self) -> None:
        if self._on_turn:
            self._on_turn = False
            _TURN.release()


#: Seconds that each call took, by its kind, of all ledgers of this process.
TOOK: dict[str, list[float]] = {}
#: What leases were answered: ranges, their mini-batches, waits.
ANSWERS: Counter[str] = Counter()


def _timed(name: str) -> Callable[..., Any]:
    plain = getattr(Ledger, name)
    took = TOOK.setdefault(name, [])

    def call(self: Ledger, *arguments: Any, **named: Any) -> Any:
        began = time.perf_counter()
        answer = plain(self, *arguments, **named)
        took.append(time.perf_counter() - began)
        if name == "lease":
            kind = type(answer).__name__.lower()
            ANSWERS[kind] += 1
            if kind == "lease":
                ANSWERS["mini_batches"] += answer.last - answer.first + 1
        return answer

    return call


class TimedLedger(Ledger):
    """A ledger whose calls are timed."""

    register = _timed("register")
    renew = _timed("renew")
    lease = _timed("lease")
    commit = _timed("commit")
    give_back = _timed("give_back")
    snapshot = _timed("snapshot")
    leave = _timed("leave")
    see_node = _timed("see_node")
