"""What a process logs of one job, written into the job's own logs too: `logs/sys/master_role.txt`, `logs/sys/error/`.

Which lines those are is told by what they are about (see `gristmill.log_context`), so whoever logs need not know.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Final

from gristmill import log_context
from gristmill_storage import log_files
from gristmill_storage.files import Store

#: Bytes of one of these files; the line that would be too much is the last.
MOST_BYTES: Final = 1024 * 1024

#: Seconds that lines are gathered where each write makes the whole file anew.
GATHER_SECONDS: Final = 10.0

_FORMAT: Final = "%(asctime)s %(levelname)s %(message)s"

#: All that Gristmill says passes here.
_OURS: Final = logging.getLogger("gristmill")

log = logging.getLogger("gristmill.logs")


def form() -> logging.Formatter:
    """Return the form of the lines in a job's logs; its times are UTC, as all of them there."""
    made = logging.Formatter(_FORMAT)
    made.converter = time.gmtime
    return made


class JobLines(logging.Handler):
    """Takes the lines that are about the same as the one who makes it: a job, or an instance."""

    def __init__(self, append: Callable[[bytes], None], *, level: int) -> None:
        """Take what adds bytes to the file's end, and the least level of a line."""
        super().__init__(level)
        self.setFormatter(form())
        self._append = append
        self._left = MOST_BYTES
        self._about: Mapping[str, str | int] = log_context.current()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a line is taken: none about a mini-batch, whose errors are the script's."""
        found = log_context.of(record)
        return (
            self._left > 0
            and "mini_batch" not in found
            and all(found.get(field) == value for field, value in self._about.items())
        )

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; after a fault, no more: a log must never end a job."""
        line = (self.format(record) + "\n").encode("utf-8", "backslashreplace")
        self._left -= len(line)
        if self._left <= 0:
            line = b"further lines are left out\n"
        try:
            self._append(line)
        except Exception as error:  # noqa: BLE001 - whatever it is, the job is worth more than its log
            self._left = 0
            log.warning("lines of a job's log are dropped: %s", error)


class Gathered:
    """Adds to a file of a store elsewhere, which is written anew each time: some seconds' lines at once."""

    def __init__(self, folder: Store, path: str) -> None:
        """Take the store and the file."""
        self._folder = folder
        self._path = path
        self._lines: list[bytes] = []
        self._due = time.monotonic() + GATHER_SECONDS

    def append(self, line: bytes) -> None:
        """Add a line, to be written with others; whoever logs does not wait for the store."""
        self._lines.append(line)

    def write(self, *, at_once: bool = False) -> None:
        """Write what was gathered, if it is time; never raises."""
        if not self._lines or not (at_once or time.monotonic() >= self._due):
            return
        lines, self._lines = self._lines, []
        self._due = time.monotonic() + GATHER_SECONDS
        with log_files.harmless(f"{self._folder.url}/{self._path}"):
            log_files.append(self._folder, self._path, b"".join(lines))


@contextlib.contextmanager
def heard(append: Callable[[bytes], None], *, level: int) -> Iterator[None]:
    """Hand over the lines about what this thread is about, from a level on."""
    handler = JobLines(append, level=level)
    _OURS.addHandler(handler)
    try:
        yield
    finally:
        _OURS.removeHandler(handler)


@contextlib.contextmanager
def kept(folder: Store, paths: Mapping[str, int]) -> Iterator[Callable[[], None]]:
    """Write the lines about what this thread is about into files of a job's folder, each from a level on.

    Yields what is to be called now and then, and writes what was gathered for a folder elsewhere.
    """
    every = [Gathered(folder, path) for path in paths]
    with contextlib.ExitStack() as stack:
        for gathered, (path, level) in zip(every, paths.items(), strict=True):
            local = folder.local_path(path)
            append = gathered.append if local is None else partial(log_files.append_local, local)
            stack.callback(gathered.write, at_once=True)
            stack.enter_context(heard(append, level=level))
        yield lambda: _write(every)


def _write(every: Iterable[Gathered]) -> None:
    for gathered in every:
        gathered.write()
