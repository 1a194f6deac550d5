"""What a user writes for an input or an output, made absolute: a path of this machine, or a URL left as it is."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath
from typing import Final
from urllib.parse import unquote, urlsplit

#: A data asset, as `name:version` or `name@label`.
_ASSET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*[:@][A-Za-z0-9_.-]+")

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

#: Endings by which the last part of an output's address is taken for a file's name.
OUTPUT_SUFFIXES: Final = frozenset({".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".pqt"})


def is_asset(text: str) -> bool:
    """Return whether a text names a data asset, with its version or label."""
    return _ASSET.fullmatch(text) is not None


def local_path(address: str) -> Path | None:
    """Return the absolute path of an address on this machine, None for a URL elsewhere."""
    if not _SCHEME.match(address):
        return Path(address).expanduser().absolute()
    parts = urlsplit(address)
    if parts.scheme.lower() != "file":
        return None
    return Path(unquote(parts.path))


def absolute(address: str) -> str:
    """Return an address that means the same in every folder: an absolute path, or the URL itself."""
    path = local_path(address)
    return address if path is None else str(path)


def split_output(address: str) -> tuple[str, str]:
    """Return an output's folder and the file name that its address ends in, "" when it names a folder alone.

    A last part such as `scores.csv` is a file's name, unless there is a folder of that name already.
    """
    path = local_path(address)
    if path is not None:
        named = path.suffix.lower() in OUTPUT_SUFFIXES and not address.endswith("/") and not path.is_dir()
        return (str(path.parent), path.name) if named else (str(path), "")
    last = PurePosixPath(address).name
    if PurePosixPath(last).suffix.lower() not in OUTPUT_SUFFIXES or address.endswith("/"):
        return address.rstrip("/"), ""
    return address[: -len(last)].rstrip("/"), last


def job_folder(output_folder: str, name: str) -> str:
    """Return the address of a job's own folder, which lies beside its output."""
    return f"{output_folder.rstrip('/')}/.gristmill/{name}"
