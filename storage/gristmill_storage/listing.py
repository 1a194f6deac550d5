"""What a job's input holds: its items, in the order in which they are scored and written.

An input is a folder or one file, here or in a store (`spec.Input`). Items are named by their paths relative to the
input's root (the folder, or the one file's folder), and come sorted by these paths' bytes: the same
folder gives the same order on every machine. `selection` says which files are items.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from gristmill.errors import InputEmpty, InputNotFound, Mistake, NotFound, StorageFailed
from gristmill.spec import Input, InputType
from gristmill_storage import credentials
from gristmill_storage.fetching import contained, fetch, local_name
from gristmill_storage.files import is_local, normalize, open_store, scheme
from gristmill_storage.local_input import has_item, search
from gristmill_storage.manifest import Item, is_hostile
from gristmill_storage.reach import Reach
from gristmill_storage.selection import is_listed
from gristmill_storage.store import Store, shown, without_secrets

__all__ = [
    "Item",
    "check_input",
    "contained",
    "fetch",
    "input_root",
    "input_store",
    "input_url",
    "list_input",
    "local_name",
]

#: What `Item._make` does, without its overhead a call.
_MADE: Final[Callable[[tuple[str, int]], Item]] = partial(tuple.__new__, Item)

#: A URL's scheme and host, its path, and what stands behind `?` or `#` of a web address.
_WEB: Final = re.compile(r"(https?://[^/?#]*)([^?#]*)(.*)", re.IGNORECASE | re.DOTALL)


def input_url(given: Input) -> str:
    """Return the address of the folder that item names are relative to."""
    return given.uri if given.type is InputType.URI_FOLDER else _parent_and_name(given.uri)[0]


def input_root(given: Input) -> str | None:
    """Return the folder of this machine that item names are relative to; None where the input is elsewhere."""
    return normalize(input_url(given), Path("/")) if is_local(given.uri) else None


def input_store(given: Input, *, reach: Reach | None = None) -> Store:
    """Return the store whose root item names are relative to; None as its reach is none that has bounds."""
    return open_store(input_url(given), reach=reach)


def list_input(
    given: Input,
    *,
    recursive: bool,
    output_folder: str | None = None,
    sizes: bool = False,
    after: str | None = None,
    reach: Reach | None = None,
) -> Iterator[Item]:
    """Return the items of an input as a stream, in order.

    Args:
        given: The input.
        recursive: Whether folders in a folder are searched.
        output_folder: Where the results go; refused where they would be read as input.
        sizes: Whether items have their sizes; of a local folder this costs a look at each file. A remote listing knows
            them anyway.
        after: Only what comes behind this item: where a plan is resumed.
        reach: Which hosts a web address may lead to; None: any.

    Raises:
        Mistake: as `check_input`, but an input without items yields nothing.
        StorageFailed: a folder cannot be listed (also while items are taken).

    """
    root = input_root(given)
    if output_folder is not None:
        _refuse_output_inside(given, output_folder, recursive=recursive)
    if root is None:
        one = given.type is InputType.URI_FILE
        items = _remote_file(given, reach) if one else _remote_folder(given, reach, recursive=recursive)
        items = _of_the_field(items)
        return (item for item in items if after is None or os.fsencode(item.name) > os.fsencode(after))
    _check_local(given)
    if given.type is InputType.URI_FILE:
        name = _parent_and_name(given.uri)[1]
        return iter([Item(name, _size(os.fsencode(root), os.fsencode(name)) if sizes else 0)] if after is None else [])
    return _local_folder(os.fsencode(root), recursive=recursive, sizes=sizes, after=os.fsencode(after or ""))


def check_input(given: Input, *, recursive: bool, output_folder: str | None = None, reach: Reach | None = None) -> None:
    """Refuse an input that cannot be scored, before anything starts; stops at the first item.

    Raises:
        InputNotFound: there is nothing.
        InputEmpty: there is no item.
        Mistake: it is a file where a folder was promised or the reverse, or the results would be read as input.
        StorageFailed: it cannot be read.

    """
    root = input_root(given)
    if root is not None and given.type is InputType.URI_FOLDER:
        _check_local(given)
        found = has_item(os.fsencode(root), recursive=recursive)
    else:
        found = next(list_input(given, recursive=recursive, reach=reach), None) is not None
    if output_folder is not None:
        _refuse_output_inside(given, output_folder, recursive=recursive)
    if not found:
        folders = "" if recursive else "; its folders are not searched, since settings.recursive is false"
        named = _named(given.uri)
        raise InputEmpty(
            f"input: {named} holds no file to score (hidden files and marks like _SUCCESS are none{folders})"
        )


def _local_folder(root: bytes, *, recursive: bool, sizes: bool, after: bytes) -> Iterator[Item]:
    names = chain.from_iterable(search(root, recursive=recursive, after=after))
    if not sizes:
        return map(_MADE, zip(names, repeat(0)))
    return (Item(name, _size(root, os.fsencode(name))) for name in names)


def _size(root: bytes, path: bytes) -> int:
    try:
        return os.stat(os.path.join(root, path)).st_size  # noqa: PTH116, PTH118 - bytes
    except OSError:
        return 0  # it cannot be read; the item will fail and say why


def _named(address: str) -> str:
    return shown(without_secrets(address))


def _check_local(given: Input) -> None:
    path = Path(normalize(given.uri, Path("/")))
    named = f"input: {shown(str(path))}"
    try:
        is_folder = path.is_dir()
        if not is_folder and not path.is_file():
            if path.exists():
                raise Mistake(f"{named} is neither a file nor a folder")
            raise InputNotFound(f"{named} does not exist")
        if given.type is InputType.URI_FILE and not is_folder:
            path.open("rb").close()
    except OSError as error:
        raise StorageFailed(f"{named} cannot be read: {error.strerror}") from error
    if is_folder and given.type is InputType.URI_FILE:
        raise Mistake(f"{named} is a folder: give one file, or type uri_folder")
    if not is_folder and given.type is InputType.URI_FOLDER:
        raise Mistake(f"{named} is a file: give its folder, or type uri_file")


def _of_the_field(items: Iterator[Item]) -> Iterator[Item]:
    """Yield items; what a store says of an address is said of the job's input."""
    try:
        yield from items
    except Mistake as error:
        if type(error) is not Mistake or error.message.startswith("input: "):
            raise
        raise Mistake(f"input: {error.message}") from error


def _remote_file(given: Input, reach: Reach | None) -> Iterator[Item]:
    parent, name = _parent_and_name(given.uri)
    if not name:
        raise Mistake(f"input: {_named(given.uri)} names no file: give one file, or type uri_folder")
    store = open_store(parent, reach=reach)
    named = f"input: {shown(f'{store.url}/{name}')}"
    try:
        yield Item(name, store.size(name))
    except NotFound:
        if next(store.list(name), None) is not None:
            raise Mistake(f"{named} is a folder: give one file, or type uri_folder") from None
        raise InputNotFound(f"{named} does not exist") from None


def _remote_folder(given: Input, reach: Reach | None, *, recursive: bool) -> Iterator[Item]:
    store = open_store(given.uri, reach=reach)
    anything = False
    for entry in store.list(recursive=recursive):
        anything = True
        if is_hostile(entry.path):
            named = f"{store.url} holds {shown(entry.path)!r}"
            raise Mistake(f"input: {named}, which can be no file's path; rename it there")
        if is_listed(os.fsencode(entry.path)):
            yield Item(entry.path, entry.size)
    if not anything:
        _refuse_missing(given, store, recursive=recursive)


def _refuse_missing(given: Input, store: Store, *, recursive: bool) -> None:
    """Say why a store lists nothing at an address: object stores know no empty folders."""
    if scheme(given.uri) in ("http", "https"):
        raise InputNotFound(f"input: {store.url} does not exist, is empty, or its server lists no folders")
    parent, name = _parent_and_name(given.uri.rstrip("/"))
    if name and open_store(parent).exists(name):
        raise Mistake(f"input: {store.url} is a file: give its folder, or type uri_file")
    if recursive or next(store.list(), None) is None:
        raise InputNotFound(f"input: {store.url} does not exist, or is empty")


def _parent_and_name(uri: str) -> tuple[str, str]:
    """Return a file's folder and its name; what stands behind a web address goes with the folder."""
    web = _WEB.fullmatch(uri)
    if web:
        folder, _, name = web[2].rpartition("/")
        return web[1] + folder + web[3], unquote(name)
    kind, mark, path = uri.rpartition("://")
    folder, slash, name = path.rpartition("/")
    name = unquote(name, errors="surrogateescape") if scheme(uri) == "file" else name
    return kind + mark + (folder or slash), name


def _refuse_output_inside(given: Input, output_folder: str, *, recursive: bool) -> None:
    """Refuse an output folder in which results would be read as input, by this job or the next."""
    if given.type is not InputType.URI_FOLDER or is_local(given.uri) != is_local(output_folder):
        return
    inside = _inside(_comparable(given.uri), _comparable(output_folder))
    if inside is None or (inside and (not recursive or not is_listed(os.fsencode(f"{inside}/x")))):
        return
    raise Mistake(
        f"output: {_named(output_folder)} is {'inside' if inside else 'the same folder as'} the input:"
        " results would be read as input; give a folder outside of it"
    )


def _comparable(address: str) -> str:
    if not is_local(address):
        return credentials.plain(without_secrets(address)).rstrip("/")
    return str(Path(normalize(address, Path.cwd())).resolve())


def _inside(root: str, path: str) -> str | None:
    """Return a path relative to a root, "" for the root itself, None where it is not inside."""
    if path == root:
        return ""
    prefix = root.rstrip("/") + "/"
    return path.removeprefix(prefix) if path.startswith(prefix) else None
