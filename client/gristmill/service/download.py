"""Fetches what a job left: each file appears whole, in its place, and none outside the folder that was asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from gristmill.counts import counted
from gristmill.errors import Mistake, ServerFailed
from gristmill.service.http import Http, place
from gristmill.states import ENDED

#: The server's name for a job's logs and other files of its own.
ARTIFACTS: Final = "default"

_PARTIAL: Final = 206


def check_ended(status: str) -> None:
    """Refuse to download what is not finished.

    Raises:
        Mistake: a job of that status has not ended.

    """
    if status not in ENDED:
        raise Mistake(f"This job is in state {status}. Download is allowed only in states {[*map(str, ENDED)]}")


def check_output(job: Mapping[str, Any], name: str) -> None:
    """Refuse the name of an output that the job does not have.

    Raises:
        Mistake: it has none of that name.

    """
    has = list(job.get("outputs") or {})
    if name not in has:
        raise Mistake(f"job {job['name']}: has no output {name!r}; it has: {', '.join([*has, ARTIFACTS])}")


def download_output(http: Http, job: str, output: str, folder: Path) -> list[Path]:
    """Fetch all files of an output into a folder; return their paths.

    Raises:
        ServerFailed: the server sent something else than it said it would.
        StorageFailed: it cannot read the output.

    """
    folder.mkdir(parents=True, exist_ok=True)
    fetched = []
    for entry in list_files(http, job, output):
        path = _inside(folder, str(entry["path"]))
        fetch(http, job, output, str(entry["path"]), path, size=entry.get("size"))
        fetched.append(path)
    return fetched


def list_files(http: Http, job: str, output: str) -> list[dict[str, Any]]:
    """Return the files of an output: path and size."""
    return list(http.pages(f"{place('jobs', job)}/files", params={"output": output, "limit": 1000}))


def fetch(http: Http, job: str, output: str, name: str, path: Path, *, size: int | None = None) -> None:
    """Fetch one file; it appears under its path when it is whole.

    Args:
        http: the server.
        job: the job's name.
        output: the output's name, `ARTIFACTS` for the job's own files.
        name: the file's path in the output.
        path: where to put it; its folder is there.
        size: its bytes, where they are known.

    Raises:
        ServerFailed: it cannot be had whole.

    """
    where = place("jobs", job, "files", output, *name.split("/"))
    draft = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    try:
        with draft.open("wb") as stream:
            for attempt in range(1, http.attempts + 1):
                begin = stream.tell()
                try:
                    _read(http, where, stream, size)
                    _check_size(where, stream.tell(), size)
                    break
                except ServerFailed:
                    if attempt == http.attempts:
                        raise
                    if stream.tell() == begin:
                        # What came before leads no further.
                        _empty(stream)
                http.wait(attempt)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _read(http: Http, where: str, stream: BinaryIO, size: int | None) -> None:
    """Write the rest of a file behind what an earlier attempt left."""
    begin = stream.tell()
    if begin and begin == size:
        return
    with http.stream(where, headers={"range": f"bytes={begin}-"} if begin else {}) as response:
        if begin and response.status_code != _PARTIAL:
            _empty(stream)
        stream.writelines(response.iter_bytes())


def _empty(stream: BinaryIO) -> None:
    stream.seek(0)
    stream.truncate()


def _check_size(where: str, got: int, size: int | None) -> None:
    if size is not None and got != size:
        raise ServerFailed(f"{where}: {counted(got, 'byte')} came of {size}")


def _inside(folder: Path, name: str) -> Path:
    """Return where a file goes, its folders made.

    Raises:
        ServerFailed: the server's name for it leads out of the folder.

    """
    parts = name.split("/")
    if "\0" in name or any(part in {"", ".", ".."} for part in parts):
        raise ServerFailed(
            f"the server names a file {name!r}, which leads out of the folder; nothing was written there"
        )
    place_of = folder
    for part in parts[:-1]:
        place_of /= part
        if place_of.is_symlink():
            raise ServerFailed(f"{place_of}: is a link, which would lead out of the folder; remove it")
        place_of.mkdir(exist_ok=True)
    return place_of / parts[-1]
