"""Requirements that mean the same on another machine: files that they include are put in place, others are refused.

A document that is sent to a server leaves its folder behind, and with it whatever `-r more.txt` and `./wheels/x.whl`
name. Absolute paths stay: a folder may be shared.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from gristmill.deployment.environments import requirements
from gristmill.deployment.nodes import Unreadable, short
from gristmill.deployment.reading import read_text
from gristmill.deployment.references import is_url
from gristmill.deployment.report import Refused

#: Files that include one another deeper than this go round in a circle.
_DEPTH: Final = 20

_OPTION: Final = re.compile(r"(?P<option>-r|--requirement|-c|--constraint|-e|--editable)(\s+|=)?(?P<path>\S.*)")
_INCLUDES: Final = ("-r", "--requirement")
_ARCHIVE: Final = re.compile(r"[^\s@]+\.(whl|tar\.gz|zip|tgz)(\[.*\])?(\s.*)?")


def lines(texts: Sequence[str], folder: str) -> list[str]:
    """Return the lines of a requirements file in `folder`, included files in place.

    With an empty folder the lines come from another machine, and nothing is read: an absolute path stays.

    Raises:
        Refused: one names a file that another machine does not have.

    """
    return list(_flat(texts, folder, 0))


def conda(document: dict[str, Any], folder: str) -> dict[str, Any]:
    """Return a conda environment with its pip requirements as `lines` has them.

    Raises:
        Refused: as there.

    """
    listed = document.get("dependencies")
    if not isinstance(listed, list):
        return document
    return {**document, "dependencies": [_item(item, folder) for item in listed]}


def _item(item: Any, folder: str) -> Any:
    pip = item.get("pip") if isinstance(item, dict) else None
    if isinstance(pip, list) and all(isinstance(text, str) for text in pip):
        return {**item, "pip": lines(pip, folder)}
    return item


def _flat(texts: Sequence[str], folder: str, depth: int) -> Iterator[str]:
    for text in texts:
        found = _OPTION.fullmatch(text.strip())
        if folder and found and found["option"] in _INCLUDES and not is_url(found["path"]):
            yield from _included(found["path"], folder, depth)
            continue
        if _is_relative(found["path"], option=True) if found else _is_relative(text.strip()):
            raise Refused(
                f"{short(repr(text))} is a file beside this one, which no other machine has; give a package, an "
                "address, or an absolute path that all nodes see"
            )
        yield text


def _included(text: str, folder: str, depth: int) -> Iterator[str]:
    path = os.path.join(folder, text)  # noqa: PTH118 - not resolved
    if depth == _DEPTH:
        raise Refused(f"{short(text)}: requirements include one another more than {_DEPTH} levels deep")
    try:
        content = read_text(Path(path))
    except Unreadable as error:
        raise Refused(f"{path}: {error.message}") from None
    yield from _flat(requirements(content), os.path.dirname(path), depth + 1)  # noqa: PTH120 - as above


def _is_relative(text: str, *, option: bool = False) -> bool:
    """Whether a requirement, or an option that takes a path, names a file by a relative path."""
    if is_url(text) or text.startswith(("/", "file:///", "git+")):
        return False
    return option or text.startswith(("./", "../", "file:")) or text in {".", ".."} or bool(_ARCHIVE.fullmatch(text))
