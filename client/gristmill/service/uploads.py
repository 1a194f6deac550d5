"""Brings local files to the server: once for each content, or not at all where it sees them where they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any, Final

from gristmill.addresses import local_path
from gristmill.errors import InputNotFound, ResourceNotFound, ServerFailed
from gristmill.machine import machine_id
from gristmill.service.http import Http, place
from gristmill.trees import Tree, digest_of

#: What is told while files are sent: bytes sent, bytes in all (0 of 0: they are there already).
Progress = Callable[[int, int], None]

#: Addresses that are the server's to understand, not paths of this machine.
_REFERENCE: Final = re.compile(r"(azureml|upload):|/subscriptions/|(models|runs):/|(?!file:)[A-Za-z][A-Za-z0-9+.-]*://")

#: Bytes from which a model on the server's own machine is left where it is.
_BIG: Final = 256 * 2**20


class Use(Enum):
    """What files are for, which says whether they may stay where they are on the server's own machine."""

    #: Read where it lies: it may be huge, and it is the user's to keep.
    INPUT = "input"
    #: Kept under its own name, which scripts see in AZUREML_MODEL_DIR; copied unless it is big.
    MODEL = "model"
    #: Always copied: a job that runs keeps the code that it began with.
    CODE = "code"


def is_reference(address: str) -> bool:
    """Whether an address is the server's to understand, and no path of this machine."""
    return bool(_REFERENCE.match(address))


class Uploads:
    """The server's place for files, by what is in them."""

    def __init__(self, http: Http, *, progress: Progress | None = None) -> None:
        """Take the server, and who is told how far a transfer is."""
        self._http = http
        self._progress = progress
        self._info: dict[str, Any] | None = None

    def info(self) -> dict[str, Any]:
        """Return what the server says of itself; it is asked once."""
        if self._info is None:
            document = self._http.get("/info").document
            if not isinstance(document, dict):
                raise ServerFailed(f"{self._http.url}/info: answered no document; is this a Gristmill server?")
            self._info = document
        return self._info

    def same_machine(self) -> bool:
        """Whether the server sees this machine's files."""
        return bool(machine_id()) and self.info().get("machine") == machine_id()

    def bring(self, address: str | Path, use: Use) -> str:
        """Return what the server is to be told for an address; a local path's files are brought there first.

        Raises:
            InputNotFound: there is nothing at a local path.
            TooLarge: it is more than the server takes.

        """
        if is_reference(str(address)):
            return str(address)
        path = local_path(str(address))
        assert path is not None
        if not path.exists():
            raise InputNotFound(f"{path}: there is no such file or folder")
        if use is Use.CODE or not self._seen(path):
            return self._send(path, use)
        if use is Use.MODEL and _size(path) < _BIG:
            return self._send(path, use)
        return str(path)

    def _seen(self, path: Path) -> bool:
        """Whether the server may open the path itself."""
        if not self.same_machine():
            return False
        real = path.resolve()
        return any(real.is_relative_to(Path(str(root)).resolve()) for root in self.info().get("allowed_roots") or ())

    def _send(self, path: Path, use: Use) -> str:
        """Return the reference of files that are now on the server."""
        tree = Tree.of(path)
        if not tree.count:
            raise InputNotFound(f"{path}: there is no file in it")
        if path.is_file():
            name = tree.files[0].path
        elif use is Use.MODEL:
            name = path.resolve().name or "model"
            tree = _under(name, tree)
        else:
            name = ""
        self.put(tree)
        return f"upload:{tree.digest}/{name}" if name else f"upload:{tree.digest}"

    def put(self, tree: Tree) -> None:
        """Send a tree, unless it is there."""
        where = place("uploads", tree.digest)
        for attempt in range(1, self._http.attempts + 1):
            if self._there(where):
                self._tell(0, 0)
                return
            try:
                self._http.upload(where, _counted(tree, self._tell), content_type="application/x-tar")
            except ServerFailed:
                if attempt == self._http.attempts:
                    raise
                self._http.wait(attempt)
            else:
                return

    def _there(self, where: str) -> bool:
        try:
            self._http.get(where)
        except ResourceNotFound:
            return False
        return True

    def _tell(self, sent: int, size: int) -> None:
        if self._progress is not None:
            self._progress(sent, size)


def _under(name: str, tree: Tree) -> Tree:
    """Return a tree as a folder of that name in another one."""
    files = tuple(replace(file, path=f"{name}/{file.path}") for file in tree.files)
    return Tree(files=files, digest=digest_of((file.path, file.size, file.sha256) for file in files))


def _counted(tree: Tree, tell: Progress) -> Iterator[bytes]:
    """Go through a tree's archive, telling how much of its files is gone."""
    sent = 0
    for block in tree.blocks():
        yield block
        sent = min(tree.size, sent + len(block))
        tell(sent, tree.size)


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
