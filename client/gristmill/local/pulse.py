"""A node's pulse: a small file that it renews while it looks for work, and what a probe reads from it.

A container's probe must not ask the Redis server: while that is away nodes wait for it, and to restart them all would
cost what they score. So a node writes down, each time that it looks for work, that it did.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from gristmill.errors import GristmillError

#: Seconds after which a pulse that was not renewed is that of a node that hangs; a look for work may take 30 of them
#: where a connection is half open.
LONGEST_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class Pulse:
    """What a node says of itself, once a second."""

    #: When it last looked for work, in seconds since 1970.
    at: float
    #: Whether it takes work.
    ready: bool
    #: Instances and aggregations that run.
    running: int
    #: Whether it was told to leave, and only ends what runs.
    leaving: bool = False

    def write(self, path: Path) -> None:
        """Put it into a file, whole.

        Raises:
            OSError: it cannot be written.

        """
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(asdict(self)), "ascii")
        temporary.replace(path)


def read(path: Path) -> Pulse:
    """Return the pulse in a file.

    Raises:
        GristmillError: there is none.

    """
    try:
        return Pulse(**json.loads(path.read_text("ascii")))
    except (OSError, ValueError, TypeError) as error:
        raise GristmillError(f"{path}: no node has written its pulse there: {error}") from None


def look(path: Path, *, ready: bool, now: float | None = None) -> Pulse:
    """Return the pulse in a file, of a node that is alive.

    Args:
        path: the file.
        ready: ask for one that takes work.
        now: seconds since 1970; None: the clock's.

    Raises:
        GristmillError: the node hangs, or does not take work, or there is none.

    """
    pulse = read(path)
    age = (time.time() if now is None else now) - pulse.at
    # One that leaves looks for no more work, and whoever told it to has a deadline of his own.
    if age > LONGEST_SECONDS and not pulse.leaving:
        raise GristmillError(f"the node has not looked for work for {age:.0f} s")
    if ready and pulse.leaving:
        raise GristmillError("the node leaves")
    if ready and not pulse.ready:
        raise GristmillError("the node does not take work yet")
    return pulse
