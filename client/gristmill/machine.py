"""Which machine this is: a client and a server on the same one need not send each other files.

And at which address others find it.
"""

from __future__ import annotations

import hashlib
import socket
from functools import cache
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

#: What tells machines, and a machine's runs, apart.
_MARKS: Final = ("/etc/machine-id", "/proc/sys/kernel/random/boot_id")


@cache
def machine_id() -> str:
    """Return a hash that is the same in every process that sees this machine's files, "" where nothing tells.

    The root folder's own numbers are in it: two containers of one image share the other marks, but no files.
    """
    marks = [text for mark in _MARKS if (text := _read(Path(mark)))]
    if not marks:
        return ""
    root = Path("/").stat()
    return hashlib.sha256("\n".join([*marks, f"{root.st_dev}:{root.st_ino}"]).encode()).hexdigest()


def address_towards(url: str) -> str:
    """Return the address that this machine has on the way to a server; "" where there is none, or no way.

    Nothing is sent. A server's name is looked up, which may take as long as the machine's resolver does.
    """
    try:
        parts = urlsplit(url)
        if not parts.hostname:
            return ""
        family, kind, _, _, place = socket.getaddrinfo(parts.hostname, parts.port or 1, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(place)
            return str(probe.getsockname()[0])
    except (OSError, ValueError):
        return ""


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii", "replace").strip()
    except OSError:
        return ""
