"""The lines of stdin, until it ends or this process is told to leave."""

from __future__ import annotations

import os
import select
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

#: Bytes read at once.
_CHUNK: Final = 65536


@contextmanager
def read_commands(*, lasting: bool) -> Iterator[Iterator[bytes]]:
    """Give the lines of stdin.

    Args:
        lasting: whether SIGTERM ends them in order too, and a stdin without anybody behind it (/dev/null, or closed)
            does not: so a service manager starts and ends a process that has no owner.

    """
    if not lasting:
        yield _lines([0], wake=None)
        return
    wake, waker = os.pipe()
    before = signal.signal(signal.SIGTERM, _make_leave(waker))
    try:
        yield _lines([0] if _has_owner() else [], wake=wake)
    finally:
        signal.signal(signal.SIGTERM, before)
        os.close(wake)
        os.close(waker)


def _make_leave(waker: int) -> Callable[[int, FrameType | None], None]:
    def leave(_number: int, _frame: FrameType | None) -> None:
        os.write(waker, b"\0")

    return leave


def _has_owner() -> bool:
    try:
        status = os.fstat(0)
    except OSError:
        return False
    nobody = os.stat(os.devnull)  # noqa: PTH116 - beside fstat
    return status.st_rdev != nobody.st_rdev


def _lines(inputs: list[int], *, wake: int | None) -> Iterator[bytes]:
    pending = b""
    watched = [*inputs, *([] if wake is None else [wake])]
    while watched:
        ready, _, _ = select.select(watched, [], [])
        if wake in ready:
            return
        data = os.read(ready[0], _CHUNK)
        if not data:
            break
        *lines, pending = (pending + data).split(b"\n")
        yield from (line for line in lines if line.strip())
    if pending.strip():
        yield pending
