"""Which folders of this machine a request may name: those that the operator allowed, and nothing of the server's own.

A path is judged by where it really leads, links followed. What is returned has its links resolved up to its last name
(a model folder's name counts), so that a link that is put in its way later leads nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from gristmill.errors import Forbidden, Mistake
from gristmill_storage.files import is_local, normalize, scheme
from gristmill_storage.store import shown

#: Within a workspace: the folder that requests may read and write, the default datastore.
DATA = "data"


class Roots:
    """The folders that requests may name."""

    def __init__(self, allowed: Sequence[Path] = (), *, workspace: str = "") -> None:
        """Take the folders that are allowed, and the workspace's address: of it, only the folder `data` is."""
        self._allowed = [Path(os.path.realpath(root)) for root in allowed]
        local = bool(workspace) and is_local(workspace)
        self._workspace = Path(os.path.realpath(normalize(workspace, Path("/")))) if local else None

    @property
    def allowed(self) -> list[str]:
        """The folders, links resolved."""
        return [str(root) for root in self._allowed]

    def place(self, text: str, *, reading: bool) -> str:
        """Return the absolute path that a request names.

        Raises:
            Forbidden: it leads to where requests may not.
            Mistake: it is no absolute path.

        """
        path = _absolute(text)
        real = Path(os.path.realpath(path))
        if self._is_private(real, reading=reading) or not any(map(real.is_relative_to, self._roots())):
            raise Forbidden(f"{shown(text)}: {self._refusal()}")
        return str(Path(os.path.realpath(path.parent)) / path.name)

    def _roots(self) -> list[Path]:
        return self._allowed if self._workspace is None else [*self._allowed, self._workspace / DATA]

    def _is_private(self, real: Path, *, reading: bool) -> bool:
        """Whether a path is inside the workspace, its data apart; or, where it is read, holds the workspace."""
        if self._workspace is None or real.is_relative_to(self._workspace / DATA):
            return False
        return real.is_relative_to(self._workspace) or (reading and self._workspace.is_relative_to(real))

    def _refusal(self) -> str:
        there = f"({', '.join(self.allowed)})" if self._allowed else "(none)"
        return (
            f"it is not inside the folders that this server lets requests use {there}; let the client upload it, give "
            "an address, or start the server with --allow-root"
        )


def inside(root: str, path: str) -> str:
    """Return the path of something beneath a local folder, which no link of it may leave.

    Raises:
        Forbidden: it leads out of the folder.

    """
    place = Path(root, path)
    if not Path(os.path.realpath(place)).is_relative_to(os.path.realpath(root)):
        raise Forbidden(f"{shown(path)}: a link leads out of its datastore; give a path that stays in it")
    return str(Path(os.path.realpath(place.parent)) / place.name) if path else os.path.realpath(root)


def _absolute(text: str) -> Path:
    path = text
    if scheme(text) == "file":
        path = normalize(text, Path("/"))
    elif text.lower().startswith("file:"):
        path = text[len("file:") :]
    if "\0" in path:
        raise Mistake(f"{shown(text)}: holds a NUL character; no path does")
    if not os.path.isabs(path):  # noqa: PTH117 - text that may be no path at all
        raise Mistake(f"{shown(text)}: a relative path means nothing to a server; give an absolute one, or an address")
    return Path(os.path.normpath(path)) if ".." not in path.split("/") else Path(os.path.realpath(path))
