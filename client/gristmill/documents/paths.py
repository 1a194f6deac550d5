"""Where a document's paths point: to this machine, to an address, or to something registered."""

from __future__ import annotations

import os
import re
from typing import Final

from gristmill.deployment.references import is_upload, is_url, kept_path, local_path
from gristmill.deployment.report import Refused

#: What names something that a server knows: references, ids, and the runs of MLflow.
_KNOWN: Final = re.compile(r"azureml:\S+|/subscriptions/\S+|runs:/\S+|models:/\S+")


def is_address(text: str) -> bool:
    """Whether the text is no path of a machine."""
    return is_url(text) or is_upload(text) or bool(_KNOWN.fullmatch(text))


def placed(text: str, folder: str | None) -> str:
    """Return a path as an absolute one, an address as it is; without a folder relative paths are refused.

    Raises:
        Refused: no file can have that name, or it is relative to nothing.

    """
    if is_address(text):
        return text
    return kept_path(text) if folder is None else local_path(text, folder)


def is_here(path: str, folder: str | None) -> bool:
    """Whether a path that `placed` returned is one that can be looked at."""
    return folder is not None and not is_address(path)


def check_folder(path: str, folder: str | None) -> None:
    """Refuse what is no folder of this machine, if it is of this machine.

    Raises:
        Refused: nothing is there, or a file.

    """
    if is_here(path, folder) and not os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises where the name is too long
        raise Refused(f"no such folder: {path}")
