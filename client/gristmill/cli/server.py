"""The server that a command asks."""

from __future__ import annotations

import sys
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

from gristmill.cli.uploading import Uploading
from gristmill.service.connection import Connection, find_server

if TYPE_CHECKING:
    from gristmill.service.client import Client

#: Whether nothing but errors is to be told on stderr.
quiet: Final[ContextVar[bool]] = ContextVar("quiet", default=False)


def find() -> Connection:
    """Return where the server is, and the token for it.

    Raises:
        Mistake: there is none, or what names it cannot be used.

    """
    return find_server()


def connect(url: str | None = None, token: str | None = None, **more: Any) -> Client:
    """Return a client of a server: of the one that commands ask, unless another is given as `Client` takes it.

    Raises:
        Mistake: as `find` says.

    """
    # The HTTP library takes longer to import than all of the command line, and half of that is a command line of its
    # own with what that prints by; it does without where that cannot be imported.
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    from gristmill.service.client import Client  # noqa: PLC0415

    return Client(url, token, progress=None if quiet.get() else Uploading(), **more)
