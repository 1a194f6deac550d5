"""Running an installer: its lines go to the log as they come, its complaint becomes the error."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from gristmill.errors import EnvironmentFailed
from gristmill_workers.abandoning import LOOK_SECONDS, always

#: Lines of a failed build that stand in the error's detail.
_TAIL: Final = 60

#: Characters of an installer's complaint that stand in the error's message.
_COMPLAINT: Final = 600

_SECRET: Final = re.compile(r"(://)[^/\s@]+@")
_DRAWING: Final = re.compile("[\\u00d7\\u2500-\\u257f\\u25b6]+")
_CAUSE: Final = re.compile(r"^\s*(\u00d7|error\b|critical\b)", re.IGNORECASE)


class ToolFailed(EnvironmentFailed):
    """An installer ended with an error: `message` is its complaint in one line, `detail` its last lines."""


def run_tool(
    command: Sequence[str | Path],
    *,
    variables: Mapping[str, str],
    folder: Path,
    log: Callable[[str], None],
    seconds: float,
    hold: int,
    wanted: Callable[[], bool] = always,
) -> None:
    """Run an installer to its end.

    Args:
        command: The program and its arguments.
        variables: Its environment, whole.
        folder: Its working folder.
        log: Called with each line it prints, without passwords.
        seconds: How long it may take.
        hold: A descriptor that it shall hold too: the lock then outlives us as long as it writes.
        wanted: Asked now and then; once it says False, the installer is ended.

    Raises:
        ToolFailed: it did not end with success.

    """
    tail: deque[str] = deque(maxlen=_TAIL)
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=dict(variables),
            cwd=folder,
            start_new_session=True,
            pass_fds=(hold,),
        )
    except OSError as error:
        raise ToolFailed(f"{command[0]} cannot be started: {error.strerror}") from error
    with _bounded(process, seconds, wanted) as late:
        for line in process.stdout or ():
            tail.append(_SECRET.sub(r"\1***@", line.rstrip()))
            log(tail[-1])
        code = process.wait()
    if late.is_set():
        raise ToolFailed(f"it did not end within {seconds:.0f} s", detail="\n".join(tail))
    if code:
        raise ToolFailed(complaint(tail) or f"it ended with exit code {code}", detail="\n".join(tail))


@contextlib.contextmanager
def _bounded(process: subprocess.Popen[str], seconds: float, wanted: Callable[[], bool]) -> Iterator[threading.Event]:
    """End a process and what it started when its time is over, nobody wants it, or the block is left before its end."""
    late, ended = threading.Event(), threading.Event()

    def end() -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)

    def watch() -> None:
        deadline = time.monotonic() + seconds
        while not ended.wait(max(0.0, min(LOOK_SECONDS, deadline - time.monotonic()))):
            if time.monotonic() >= deadline:
                late.set()
            if late.is_set() or not wanted():
                end()
                return

    threading.Thread(target=watch, name="installer", daemon=True).start()
    try:
        with process:
            try:
                yield late
            except BaseException:
                end()
                raise
    finally:
        ended.set()


def complaint(lines: Sequence[str] | deque[str]) -> str:
    """Return what an installer complained of, in one line; "" where it said nothing of that kind."""
    texts = list(lines)
    start = next((index for index, line in enumerate(texts) if _CAUSE.match(line)), None)
    if start is None:
        return ""
    words = " ".join(_DRAWING.sub(" ", line) for line in texts[start:]).split()
    text = re.sub(r"^error:\s*", "", " ".join(words), flags=re.IGNORECASE)
    return text if len(text) <= _COMPLAINT else text[: _COMPLAINT - 1] + "…"
