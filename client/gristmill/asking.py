"""Asks other processes about a job: what they need to know its store for, the client is not to import."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, Final

from gristmill.errors import GristmillError, JobNotFound

#: -P: the folder that the user happens to stand in is no place to import from.
_PYTHON: Final = (sys.executable, "-P", "-m")

_WISH: Final = "gristmill_scheduler.wish"
_VERIFY: Final = "gristmill_workers.aggregator.verify"

#: What `_VERIFY` exits with when there is no such job.
_NO_JOB: Final = JobNotFound.exit_code


def ask(action: str, folder: str, *arguments: str) -> dict[str, Any]:
    """Return where a job stands, after its coordinator was asked to do something.

    Args:
        action: show, cancel, pause or unpause.
        folder: address of the job's folder.
        arguments: more of the command's.

    Raises:
        GristmillError: it could not be asked; JobNotFound where there is no job.

    """
    done = _run(_WISH, action, "--folder", folder, *arguments)
    document = _document(done)
    failed = document.get("failed")
    if failed is not None:
        raise GristmillError.from_json(failed)
    return document


def verify(folder: str) -> dict[str, Any]:
    """Return what a job's storage shows: "ok", what was "checked", and the "faults".

    Raises:
        GristmillError: it could not be looked at; JobNotFound where there is no job.

    """
    return _document(_run(_VERIFY, "--folder", folder))


def _run(module: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*_PYTHON, module, *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


def _document(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    try:
        document: Any = json.loads(done.stdout)
    except ValueError:
        document = None
    if isinstance(document, Mapping):
        return dict(document)
    lines = done.stderr.strip().splitlines()
    message = lines[-1].removeprefix("error: ") if lines else f"no answer (exit code {done.returncode})"
    raise (JobNotFound if done.returncode == _NO_JOB else GristmillError)(message, detail=done.stderr)
