"""What two jobs must have in common for the scorers of the one to serve the other.

That is whose jobs they are, their deployment, and what is in the files that a scorer has read. Files are told by name,
size, time of change and number on their disk, not by what is in them: to read a model would take as long as to load it.
Each scorer's launch is compared besides, word by word (`Launch.born_alike`).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gristmill.spec import Job, to_json
from gristmill_workers.preparation import Prepared

#: Folders of more files are not looked through: their scorers are not kept.
MOST_FILES: Final = 20_000

#: Settings that no scorer is told: those of two jobs may differ.
NODES_OWN: Final = frozenset(
    {
        *("mini_batch_size", "mini_batch_bytes", "recursive", "split_files", "split_bytes", "output_file_name"),
        *("retry_settings", "error_threshold", "init_timeout", "isolate_failures", "speculate", "priority"),
        "keep_scorers_seconds",
    }
)

#: What Python itself writes beside modules.
_PASSED_OVER: Final = "__pycache__"


class _Untellable(Exception):
    """Whether a folder has changed cannot be told."""


def key_of(job: Job, prepared: Prepared, *, scratch: Path, share: int) -> str:
    """Return what jobs have in common that may share scorers; "" where this one may share none.

    Args:
        job: the job.
        prepared: what its scorers need.
        scratch: the job's own folder on this machine; a model that lies there is no other's.
        share: how many instances use this machine's cores.

    """
    source = prepared.model.source
    if not job.kept_for or (source is not None and source.is_relative_to(scratch)):
        return ""
    try:
        files = [list(_seen(path)) for path in (prepared.model.source, prepared.code)]
        python = list(_seen_python(prepared.python.executable))
    except (OSError, _Untellable):
        return ""
    deployment = to_json(job.deployment)
    settings = {name: value for name, value in deployment["settings"].items() if name not in NODES_OWN}
    document = {**deployment, "settings": settings, "instance_count": None}
    places = [str(prepared.model.source), str(prepared.code)]
    text = json.dumps([job.kept_for, share, document, places, files, python])
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


def _seen(path: Path | None) -> Iterator[tuple[object, ...]]:
    """Yield what tells a file, or each in a folder, from what it was before it was changed."""
    if path is None:
        return
    if not path.is_dir():
        yield _told(path)
        return
    count = 0
    for folder, folders, files in os.walk(path, onerror=_raise):
        folders[:] = sorted(name for name in folders if name != _PASSED_OVER)
        count += len(folders) + len(files)
        if count > MOST_FILES or any(Path(folder, name).is_symlink() for name in folders):
            raise _Untellable
        for name in sorted(files):
            yield os.path.relpath(Path(folder, name), path), *_told(Path(folder, name))


def _seen_python(executable: Path) -> Iterator[tuple[object, ...]]:
    """Yield what changes when packages are installed."""
    yield _told(executable)
    for packages in sorted(executable.parent.parent.glob("lib/python*/site-packages")):
        yield _told(packages)


def _told(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns, found.st_ino


def _raise(error: OSError) -> None:
    raise error
