"""Instances with a core, or a part of one, each: pinned to it, or held to a quota by a control group of their own."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: Where the control groups are that hold processes to a part of the cores: of the first version, of the second.
_GROUPS: Final = (Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup"))

#: Microseconds over which a quota counts: short, so that nobody stands still for long.
_PERIOD: Final = 20_000

#: Seconds that processes may take to have left a group.
_EMPTY_SECONDS: Final = 5.0


def pinned(number: int) -> list[str]:
    """Return what stands before a command that is to have one core for itself."""
    cores = sorted(os.sched_getaffinity(0))
    return ["taskset", "-c", str(cores[number % len(cores)])]


@contextlib.contextmanager
def held_to(cores: float, number: int) -> Iterator[list[str]]:
    """Yield what stands before a command that, with all that it starts, is to have so much of the cores.

    Raises:
        OSError: this user may make no control groups here, or the system has none.

    """
    group = _make(f"gristmill-{os.getpid()}-{number}", cores)
    try:
        yield ["sh", "-c", f'echo $$ > {group}/cgroup.procs && exec "$@"', "sh"]
    finally:
        _remove(group)


def _make(name: str, cores: float) -> Path:
    old = (_GROUPS[0] / "cpu.cfs_quota_us").exists()
    group, quota = _GROUPS[0 if old else 1] / name, round(cores * _PERIOD)
    bounds = {"cpu.cfs_period_us": _PERIOD, "cpu.cfs_quota_us": quota} if old else {"cpu.max": f"{quota} {_PERIOD}"}
    group.mkdir()
    try:
        for file, bound in bounds.items():
            (group / file).write_text(str(bound))
    except OSError:
        group.rmdir()
        raise
    return group


def _remove(group: Path) -> None:
    deadline = time.monotonic() + _EMPTY_SECONDS
    while True:
        try:
            group.rmdir()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
