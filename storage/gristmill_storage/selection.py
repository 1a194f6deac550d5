"""Which files of an input are items: all but the hidden ones and the marks that other programs leave in folders.

Hidden is what begins with a dot, at every level below the input's root. Marks are the names below, exactly: a user's
own `_img.png` or `_startup.wav` is an item.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from typing import Final

#: Files that say something about a folder and are no data: Spark's and Hadoop's ends of a job, Databricks' commits,
#: Parquet's summaries, the object stores' folder marks, Windows' and macOS' pictures of a folder.
MARKER_FILES: Final = (
    "_SUCCESS",
    "_SUCCESS.crc",
    "_started_<digits>",
    "_committed_<digits>",
    "_committed_vacuum<digits>",
    "_metadata",
    "_common_metadata",
    "<name>_$folder$",
    "Thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
)

#: Folders that hold no data that is meant to be read: Delta's log, Hadoop's unfinished work, macOS' archive forks.
MARKER_FOLDERS: Final = frozenset({b"_delta_log", b"_temporary", b"__MACOSX"})

_IS_MARKER: Final = re.compile(
    rb"_SUCCESS(?:\.crc)?|_started_\d+|_committed_(?:vacuum)?\d+|_(?:common_)?metadata"
    rb"|.*_\$folder\$|(?:eh)?[Tt]humbs\.db|[Dd]esktop\.ini",
    re.DOTALL,
).fullmatch


#: What the name of a hidden file or of a mark begins or ends with: other names need no look.
_SUSPECT_FIRST: Final = b"._"
_SUSPECT_LAST: Final = b"$bi"

#: What any mark holds that does not begin as hidden files and marks do.
_MARKS_HOLD: Final = ("$", "humbs.db", "esktop.ini")


def is_item(name: bytes) -> bool:
    """Return whether a file of this name (without its folder) is an item."""
    if name[:1] not in _SUSPECT_FIRST and name[-1:] not in _SUSPECT_LAST:
        return True
    return not name.startswith(b".") and not _IS_MARKER(name)


def are_items(names: list[str], text: str) -> bool:
    """Return whether all of these are items for sure; what is not sure needs a look at each.

    Args:
        names: Names of files, sorted, as texts of as many letters as they have bytes; at least one.
        text: All of them, joined by something that is in none.

    """
    first = all(bisect_left(names, mark) == bisect_left(names, chr(ord(mark) + 1)) for mark in "._")
    return first and not any(end in text for end in _MARKS_HOLD)


def is_searched(name: bytes) -> bool:
    """Return whether a folder of this name (without the one above) is searched for items."""
    return not name.startswith(b".") and name not in MARKER_FOLDERS


def is_listed(path: bytes) -> bool:
    """Return whether a file at this path below the input's root is an item."""
    *folders, name = path.split(b"/")
    return is_item(name) and all(map(is_searched, folders))
