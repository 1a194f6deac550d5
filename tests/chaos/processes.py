"""Processes that are started again when they die, as a service manager would, and the family tree of each."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Seconds between a death and the next start.
RESTART_SECONDS: Final = 1.0

_GLANCE: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Relative:
    """A process of a tree, told from a later one of the same number by when it was started."""

    pid: int
    started: int
    command: str

    @property
    def alive(self) -> bool:
        """Whether it runs (a zombie does not)."""
        found = _stat(self.pid)
        return found is not None and found[1] == self.started and found[2] != "Z"

    def send(self, number: signal.Signals) -> None:
        """Send a signal; one that is gone is fine."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Kept:
    """A command that runs until its keeper is told otherwise."""

    def __init__(self, name: str, command: Sequence[str], *, environment: Mapping[str, str], folder: Path) -> None:
        """Take the command and where its output goes; nothing runs before `start`."""
        self.name = name
        self.command = list(command)
        self.environment = dict(environment)
        self.log = folder / f"{name}.log"
        self.events = folder / f"{name}.events"
        self.starts = 0
        #: Whether whoever brought it down brings it up again, not the keeper.
        self.held = False
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Start it, with a pipe for its stdin."""
        self._close()
        with self.log.open("a") as log, self.events.open("a") as events:
            self._process = subprocess.Popen(
                self.command,
                env=self.environment,
                stdin=subprocess.PIPE,
                stdout=events,
                stderr=log,
                text=True,
                start_new_session=True,
            )
        self.starts += 1

    @property
    def pid(self) -> int:
        """Its process, living or dead; it was started."""
        assert self._process is not None
        return self._process.pid

    @property
    def dead(self) -> bool:
        """Whether it was started and has ended."""
        return self._process is not None and self._process.poll() is not None

    def tell(self, line: str) -> bool:
        """Write a line to its stdin; False when it does not listen."""
        try:
            assert self._process is not None
            assert self._process.stdin is not None
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            return False
        return True

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, and none to its children."""
        if not self.dead:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill -9 it and wait for its end."""
        self.send(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(10)

    def family(self) -> list[Relative]:
        """Return it and all that it started, directly or not."""
        return [] if self.dead else family(self.pid)

    def _close(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def end(self) -> None:
        """Kill it with its whole family."""
        if self._process is None:
            return
        for relative in self.family():
            relative.send(signal.SIGKILL)
        self._process.wait(10)
        self._close()


class Keeper:
    """Starts again what died, a second later, in a thread of its own."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._kept: list[Kept] = []
        self._died: dict[str, float] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)
        self._thread.start()

    def keep(self, kept: Kept) -> Kept:
        """Start a process, and again whenever it died."""
        kept.start()
        self._kept.append(kept)
        return kept

    def close(self) -> None:
        """End everything, the last started first."""
        self._stopping.set()
        self._thread.join()
        for kept in reversed(self._kept):
            kept.end()

    def _run(self) -> None:
        while not self._stopping.wait(_GLANCE):
            for kept in self._kept:
                self._look_after(kept)

    def _look_after(self, kept: Kept) -> None:
        if kept.held or not kept.dead:
            self._died.pop(kept.name, None)
        elif time.monotonic() - self._died.setdefault(kept.name, time.monotonic()) >= RESTART_SECONDS:
            kept.start()


def family(pid: int) -> list[Relative]:
    """Return a process and all of its descendants, parents first."""
    found: dict[int, tuple[int, int, str]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (stat := _stat(int(entry.name))) is not None:
            found[int(entry.name)] = stat
    tree, fresh = [pid] if pid in found else [], [pid]
    while fresh:
        fresh = [child for child, stat in found.items() if stat[0] in fresh]
        tree.extend(fresh)
    return [Relative(pid=one, started=found[one][1], command=command_of(one)) for one in tree]


def _stat(pid: int) -> tuple[int, int, str] | None:
    """Return (parent, when it was started, state) of a process; None when there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return int(fields[1]), int(fields[19]), fields[0]


def command_of(pid: int) -> str:
    """Return a process's command line; "" when it is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@contextlib.contextmanager
def stopped(relatives: Sequence[Relative]) -> Iterator[None]:
    """Hold processes still (SIGSTOP) for as long as the context lasts."""
    for relative in relatives:
        relative.send(signal.SIGSTOP)
    try:
        yield
    finally:
        for relative in relatives:
            relative.send(signal.SIGCONT)
