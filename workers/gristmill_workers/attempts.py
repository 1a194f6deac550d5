"""What an instance notes of every attempt that ends, for the job's report.

A row is made of what an answer carries anyway. Scorers answer many short mini-batches at once, and the rows of such an
answer are made in one go; they are written in blocks, at the latest before the ledger is told of them, so that
whoever sees the job scored finds them all.
"""

from __future__ import annotations

import json
import re
import threading
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

from gristmill.states import Category
from gristmill_storage import job_folder
from gristmill_storage.job_report import ROWS_LIMIT, csv_line
from gristmill_storage.log_files import append_local, harmless, put_local
from gristmill_workers.work import Failed, ScoredTogether, Work

#: Characters of rows that are written at once, at the latest.
BLOCK: Final = 1 << 18

#: Characters of an error's message that stand in a row.
MESSAGE_LIMIT: Final = 300

#: What a name must not hold to stand in a row as it is.
_UNSAFE: Final = re.compile(r'[",\x00-\x1f\x85\u2028\u2029]')

#: A row without errors, of names that need no quotes; an f-string takes twice as long, for want of format().
_PLAIN: Final = "%012d%s%s,,%s,RUN_DONE,,,%s"

#: How an attempt ended, in Azure ML's words; what is not here ended in run().
_STATUS: Final[Mapping[str, str]] = {
    Category.TIMEOUT: "RUN_TIMEOUT",
    Category.CRASH: "RUN_CRASH",
    Category.LOST: "RUN_LOST",
    Category.FETCH: "LOAD_EXCEPTION",
    Category.UNREADABLE: "LOAD_EXCEPTION",
    Category.UNSUPPORTED: "LOAD_EXCEPTION",
}

_TIMED_OUT: Final = re.compile(r"\btime(d )?-?out\b", re.IGNORECASE)

_errors = itemgetter("errors")
_succeeded = itemgetter("succeeded")
_seconds = itemgetter("seconds")


def status_of(category: str, message: str) -> str:
    """Return the status of an attempt that failed."""
    if category == Category.FETCH and _TIMED_OUT.search(message):
        return "LOAD_TIMEOUT"
    return _STATUS.get(category, "RUN_EXCEPTION")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@dataclass
class Sums:
    """What came of the attempts of one process; of those that reached none, where `process` is empty."""

    process: str
    started: str
    attempts: int = 0
    attempts_failed: int = 0
    total: int = 0
    succeeded: int = 0
    failed: int = 0
    #: Seconds in run().
    seconds: float = 0.0

    def add(self, attempts: int, total: int, succeeded: int, seconds: float) -> None:
        """Count attempts, their items, how many of these were scored, and their seconds in run()."""
        self.attempts += attempts
        self.total += total
        self.succeeded += succeeded
        self.failed += total - succeeded
        self.seconds += seconds

    def document(self) -> dict[str, Any]:
        """Return it as it stands in an instance's sums."""
        return {**vars(self), "seconds": round(self.seconds, 6)}


class ProcessAttempts:
    """The attempts of one scorer's process."""

    def __init__(self, attempts: Attempts, process: str) -> None:
        """Take where they go and the process's name."""
        self._attempts = attempts
        self.sums = Sums(process=process, started=_now() if process else "")
        #: The cells before the seconds, by attempt, items, and items that were scored: few differ.
        self._heads: dict[tuple[int, int, int], str] = {}

    def answered(self, works: Sequence[Work], results: Sequence[Mapping[str, Any]]) -> None:
        """Note the answers to mini-batches; what the scorer wrote may be nonsense, and is left out then."""
        try:
            troubled = any(map(_errors, results))
            plain = not troubled and not any(work.piece for work in works) and not _UNSAFE.search(_names(works))
            scored, seconds = list(map(_succeeded, results)), list(map(_seconds, results))
            lines = (
                self._plain(works, scored, map(_told, seconds)) if plain else list(map(self._answer, works, results))
            )
            self.sums.add(len(works), sum(len(work.items) for work in works), sum(scored), sum(seconds))
        except (TypeError, ValueError, LookupError, OverflowError):
            return
        self._attempts.add(lines, now=troubled)

    def scored(self, answer: ScoredTogether) -> None:
        """Note an answer to many mini-batches of which nothing failed."""
        works, blocks = answer.works, answer.blocks
        # Few of the times and numbers of items in an answer differ.
        times = {spent: _told(spent / 1e6) for spent in set(blocks.microseconds)}
        took = [times[spent] for spent in blocks.microseconds]
        if _UNSAFE.search(_names(works)):
            done = ["RUN_DONE", "", ""]
            lines = [self._row(*row, done) for row in zip(works, blocks.items, took, strict=True)]
        else:
            lines = self._plain(works, blocks.items, took)
        total = sum(blocks.items)
        self.sums.add(len(works), total, total, sum(blocks.microseconds) / 1e6)
        self._attempts.add(lines, now=False)

    def _plain(self, works: Sequence[Work], scored: Sequence[int], seconds: Iterable[str]) -> list[str]:
        """Return the rows of answers without errors, to works whose names need no quotes."""
        heads = self._heads.get
        return [
            _PLAIN
            % (
                work.number,
                heads((work.attempt, total := len(work.items), succeeded))
                or self._head(work.attempt, total, succeeded),
                took,
                took,
                work.items[0],
            )
            for work, succeeded, took in zip(works, scored, seconds, strict=True)
        ]

    def _head(self, attempt: int, total: int, succeeded: int) -> str:
        cells = [attempt, self.sums.process, self.sums.started, total, succeeded, total - succeeded]
        head = self._heads[attempt, total, succeeded] = f",{csv_line(cells)[:-1]},"
        return head

    def failed(self, failed: Failed, seconds: float = 0.0) -> None:
        """Note an attempt that ended without an answer, after so many seconds."""
        self.sums.add(1, len(failed.work.items), 0, seconds)
        self.sums.attempts_failed += 1
        took = _told(seconds) if self.sums.process else ""
        status = status_of(failed.category, failed.message)
        self._attempts.add([self._row(failed.work, 0, took, [status, failed.category, failed.message])], now=True)

    def _answer(self, work: Work, result: Mapping[str, Any]) -> str:
        """Return the row of an answer; of several errors, the first one's words stand in it."""
        error, done = next(iter(result["errors"]), None), result["outcome"] == "done"
        end = ["RUN_DONE", "", ""]
        if error is not None:
            category, message = str(error["category"]), str(error["message"])
            end = ["RUN_DONE" if done else status_of(category, message), category, message]
        self.sums.attempts_failed += not done
        return self._row(work, result["succeeded"], _told(result["seconds"]), end)

    def _row(self, work: Work, succeeded: int, seconds: str, end: Sequence[str]) -> str:
        """Return a row; `end` is its status, and an error's category and message."""
        head = self._head(work.attempt, len(work.items), succeeded)
        status, category, message = end
        tail = csv_line([seconds, "", seconds, status, category, message[:MESSAGE_LIMIT], _detail(work)])
        return f"{work.number:012d}{head}{tail[:-1]}"


def _told(seconds: float) -> str:
    return f"{seconds:.6f}"


def _names(works: Iterable[Work]) -> str:
    return "".join([work.items[0] for work in works])


def _detail(work: Work) -> str:
    """Return what a row says of a mini-batch: its first item, and which of its items a piece holds."""
    if work.piece is None:
        return work.items[0]
    return f"{work.items[0]} (items {work.piece[0] + 1} to {work.piece[1]} of the mini-batch, scored apart)"


class Attempts:
    """Writes the attempts of an instance; rows are made by one thread, and any may have them written."""

    def __init__(self, logs: Path, *, node: str, instance: str, limit: int = ROWS_LIMIT) -> None:
        """Take the folder that has `logs/`, who writes, and how many rows are written at most."""
        self._rows_path = logs / job_folder.instance_log(node, instance, job_folder.INSTANCE_ATTEMPTS)
        self._sums_path = logs / job_folder.instance_log(node, instance, job_folder.INSTANCE_SUMS)
        self._node = node
        self._instance = instance
        self._left = limit
        self._started = _now()
        self._blocks: deque[str] = deque()
        self._size = 0
        self._lock = threading.Lock()
        self._broken = False
        self._processes: list[ProcessAttempts] = []
        self._nowhere = ProcessAttempts(self, "")

    def process(self, name: str) -> ProcessAttempts:
        """Return where the attempts of another process go; `name` is the process's on its node."""
        process = ProcessAttempts(self, f"{self._node}/{name}")
        self._processes.append(process)
        return process

    def failed(self, failed: Failed) -> None:
        """Note an attempt that reached no process."""
        self._nowhere.failed(failed)

    def add(self, lines: list[str], *, now: bool) -> None:
        """Take rows without their ends; `now`: they are written at once, for no commit may follow them."""
        if self._left < len(lines):
            lines = lines[: self._left]
        if lines:
            self._left -= len(lines)
            block = "\n".join(lines)
            self._blocks.append(block)
            self._size += len(block)
        if now or self._size > BLOCK:
            self.write()

    def write(self) -> None:
        """Write what was taken, and the sums; never raises."""
        with self._lock:
            self._size = 0
            blocks = [self._blocks.popleft() for _ in range(len(self._blocks))]  # more may come at its end meanwhile
            if self._broken:
                return
            self._broken = True
            with harmless(f"{self._rows_path}: further attempts"):
                if blocks:
                    text = "\n".join([*blocks, ""])
                    append_local(self._rows_path, text.encode("utf-8", "backslashreplace"))
                put_local(self._sums_path, [self._sums()])
                self._broken = False

    def _sums(self) -> bytes:
        processes = [process.sums.document() for process in self._processes]
        if self._nowhere.sums.attempts:
            processes.append(self._nowhere.sums.document())
        document = {"node": self._node, "instance": self._instance, "started": self._started, "processes": processes}
        return json.dumps(document).encode()
