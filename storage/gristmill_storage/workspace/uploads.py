"""What clients sent: trees of files, each kept once under the digest of what is in it.

Everything arrives in a folder of this machine first and is verified there, so that no byte that does not belong to a
tree ever lies under its name: who may upload must not be able to spoil what others have uploaded. In a workspace on
local disk that folder then gets the tree's name; elsewhere its files are copied. A mark beside the tree comes last.

    uploads/<tree>/...           the files
    uploads/<tree>.complete      all of them are there
    uploads/<tree>.registered    a model may be registered with it: {"registry": which registry}
    uploads/<tree>.leaving       nothing needs it; see `departures`
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from gristmill.errors import AlreadyExists, Mistake, ResourceNotFound, StorageFailed
from gristmill.trees import digest_of
from gristmill_storage.documents import document_or_none
from gristmill_storage.store import BLOCK, Store, checked, shown
from gristmill_storage.workspace.archive import Archive, Member

#: Where the trees are in a workspace.
FOLDER: Final = "uploads"

#: How the folders begin in which trees arrive.
ARRIVING: Final = ".arriving-"

#: How old such a folder is whose server is taken for dead.
_STALE_SECONDS: Final = 24 * 3600

#: Files that are put on an object store at once.
_WRITERS: Final = 8

#: What the system answers to a name that it cannot give a file.
_NO_NAME: Final = frozenset({errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL})

#: What it answers to a name that was given already: of a file, to what is to be a folder, or the other way round.
_TAKEN: Final = frozenset({errno.EEXIST, errno.ENOTDIR, errno.EISDIR})

_TREE: Final = re.compile(r"[0-9a-f]{64}")

#: A tree in an address: `upload:<tree>/path` as clients give it, `<workspace>/uploads/<tree>/path` as nodes open it.
_IN_ADDRESS: Final = re.compile(r"(?:^upload:|/uploads/)([0-9a-f]{64})(?:/|$)")

_File = tuple[str, int, str]


@dataclass(frozen=True)
class Uploads:
    """The uploaded trees of a workspace.

    Raises, in all methods: Mistake for a tree's name that cannot be one; StorageFailed where the store fails.
    """

    #: The workspace.
    store: Store
    #: When a tree that is there was last asked for here, by the clock that never jumps.
    asked: dict[str, float] = field(default_factory=dict, compare=False, repr=False)

    def exists(self, tree: str) -> bool:
        """Return whether a tree is there, whole."""
        found = self.store.exists(mark_of(tree))
        if found:
            self.asked[tree] = time.monotonic()
        return found

    def note_registered(self, tree: str, registry: str) -> None:
        """Note that a model may be registered with a tree: only who sees that registry may take it for not needed."""
        with suppress(AlreadyExists):
            self.store.create(mark_of(tree, "registered"), json.dumps({"registry": registry}).encode())

    def registry_of(self, tree: str) -> str:
        """Return the registry in which a tree may be a model; "" where it was never noted for any."""
        said = document_or_none(self.store, mark_of(tree, "registered")) or {}
        return str(said.get("registry", ""))

    def url(self, tree: str, path: str = "") -> str:
        """Return the address of a tree, or of a file or a folder in it, as a node opens it.

        Raises:
            Mistake: the path leads out of the tree.
            ResourceNotFound: there is no such tree, or no such path in it.

        """
        inner = f"{FOLDER}/{tree}/{checked(path)}" if path else f"{FOLDER}/{tree}"
        if not self.exists(tree):
            raise ResourceNotFound(f"upload {tree}: there is none; send it again")
        if path and not self.store.exists(inner) and next(iter(self.store.list(inner)), None) is None:
            raise ResourceNotFound(f"upload {tree}: holds no {shown(path)}")
        return f"{self.store.url.rstrip('/')}/{inner}"

    def receive(self, tree: str, stream: BinaryIO, *, most_bytes: int, most_files: int) -> None:
        """Take a tree, as a plain tar archive; it is there whole, or not at all.

        Nothing is read where the tree is there already. Memory is flat, but for the files' names.

        Args:
            tree: The digest that `gristmill.trees` gives it.
            stream: The archive.
            most_bytes: Of all files together.
            most_files: How many files.

        Raises:
            Mistake: it is no archive of plain files, or not that tree's.
            TooLarge: it is larger than it may be.

        """
        if self.exists(tree):
            return
        with self._arriving() as folder:
            archive = Archive(stream, most_bytes=most_bytes, most_files=most_files)
            files = [_arrived(folder, member) for member in archive.members()]
            found = digest_of(files)
            if found != tree:
                raise Mistake(
                    f"upload {tree}: what came is another tree, {found}; it was damaged, or changed meanwhile"
                )
            self._publish(tree, folder, files)

    @contextmanager
    def _arriving(self) -> Iterator[Path]:
        """Make a folder for a tree to arrive in, beside the others where they are on this machine."""
        here = self.store.local_path(FOLDER)
        with _keeping():
            if here:
                here.mkdir(parents=True, exist_ok=True)
                _sweep(here)
            folder = Path(tempfile.mkdtemp(prefix=ARRIVING, dir=here))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _publish(self, tree: str, folder: Path, files: list[_File]) -> None:
        target = self.store.local_path(f"{FOLDER}/{tree}")
        if target:
            with _keeping():
                _rename(folder, target)
        else:
            with ThreadPoolExecutor(_WRITERS) as pool:
                for _ in pool.map(lambda file: self._copy(folder / file[0], f"{FOLDER}/{tree}/{file[0]}"), files):
                    pass
            self._check(tree, files)
        mark = {"files": len(files), "bytes": sum(size for _, size, _ in files)}
        with suppress(AlreadyExists):
            self.store.create(mark_of(tree), json.dumps(mark).encode())
        if target and not target.is_dir():  # what was there already was deleted just now
            self.store.delete(mark_of(tree))
            raise StorageFailed(f"upload {tree}: it is gone again; send it once more")

    def _check(self, tree: str, files: list[_File]) -> None:
        """Look whether a tree was copied whole: what was there before may have been deleted meanwhile."""
        prefix = f"{FOLDER}/{tree}/"
        found = {entry.path.removeprefix(prefix): entry.size for entry in self.store.list(prefix)}
        if any(found.get(path) != size for path, size, _ in files):
            raise StorageFailed(f"upload {tree}: files of it are gone again; send it once more")

    def _copy(self, source: Path, path: str) -> None:
        with _keeping(), source.open("rb") as file, self.store.writer(path, overwrite=True) as writer:
            shutil.copyfileobj(file, writer, BLOCK)
            writer.publish()


def tree_in(address: str) -> str:
    """Return the tree that an address leads into; "" where it leads elsewhere."""
    found = _IN_ADDRESS.search(address)
    return found[1] if found else ""


def mark_of(tree: str, word: str = "complete") -> str:
    """Return the path of a mark beside a tree.

    Raises:
        Mistake: a tree's name that cannot be one.

    """
    if not _TREE.fullmatch(tree):
        raise Mistake(f"upload {shown(tree)!r}: a tree's name has 64 hexadecimal digits")
    return f"{FOLDER}/{tree}.{word}"


def _arrived(folder: Path, member: Member) -> _File:
    """Write a member's content into the folder; return its path, size and hash."""
    target, found = folder / member.path, hashlib.sha256()
    with _keeping(member.path):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            for block in member.content:
                found.update(block)
                file.write(block)
    return member.path, member.size, found.hexdigest()


@contextmanager
def _keeping(path: str = "") -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if path and error.errno in _NO_NAME:
            raise Mistake(f"upload: {shown(path)!r} is a name that the server cannot give a file") from error
        if path and error.errno in _TAKEN:
            raise Mistake(f"upload: {shown(path)!r} is in it twice") from error
        raise StorageFailed(f"an upload cannot be kept: {error.strerror or error}") from error


def _rename(folder: Path, target: Path) -> None:
    """Give a folder its name, durable; where there is one of that name, it is the same tree."""
    for where, _, names in os.walk(folder):
        for name in names:
            _sync(Path(where, name))
        _sync(Path(where))
    folder.chmod(0o755)
    try:
        folder.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    _sync(target.parent)


def _sync(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _sweep(uploads: Path) -> None:
    """Remove what servers left that died while a tree arrived."""
    before = time.time() - _STALE_SECONDS
    for folder in uploads.glob(f"{ARRIVING}*"):
        with suppress(OSError):
            if folder.stat().st_mtime < before:
                shutil.rmtree(folder)
