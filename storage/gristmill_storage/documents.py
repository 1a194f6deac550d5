"""The small JSON documents of a job's folder, read with care: what a disk or a hand has made of them is not trusted."""

from __future__ import annotations

import json
from typing import Any

import gristmill
from gristmill.errors import Corrupt, JobNotFound, NotFound, OtherVersion
from gristmill.spec import SPEC_VERSION, Job, from_json
from gristmill_storage.job_folder import SPEC
from gristmill_storage.store import Store


def read_document(folder: Store, path: str) -> dict[str, Any]:
    """Return a JSON object of a job's folder.

    Raises:
        NotFound: it is not there.
        Corrupt: it is no JSON object.

    """
    try:
        document = json.loads(folder.read(path))
    except (ValueError, RecursionError) as error:
        raise Corrupt(f"{folder.url}/{path}: is no JSON: {error}") from error
    if not isinstance(document, dict):
        raise Corrupt(f"{folder.url}/{path}: is no JSON object")
    return document


def document_or_none(folder: Store, path: str) -> dict[str, Any] | None:
    """Return a JSON object of a job's folder; None where there is none, whatever lies in its place."""
    try:
        return read_document(folder, path)
    except (NotFound, Corrupt):
        return None


def read_job(folder: Store) -> Job:
    """Return the job of a folder, as it was submitted.

    Raises:
        JobNotFound: there is none, or it cannot be read.
        OtherVersion: a newer Gristmill wrote it, in a form that this one does not know.

    """
    try:
        document = read_document(folder, SPEC)
        check_form(document.get("spec_version"), SPEC_VERSION, f"{folder.url}/{SPEC}")
        return from_json(Job, document)
    except NotFound as error:
        raise JobNotFound(f"{folder.url}: no job was begun there ({SPEC} is missing)") from error
    except (Corrupt, ValueError) as error:
        raise JobNotFound(f"{folder.url}: {SPEC} cannot be read: {error}") from error


def check_form(theirs: object, newest: int, what: str) -> None:
    """Refuse a document whose form is newer than the newest that is known here; all older ones are read.

    Raises:
        OtherVersion: it is that.

    """
    if isinstance(theirs, int) and theirs > newest:
        here = f"Gristmill {gristmill.__version__} here"
        raise OtherVersion(f"{what}: is of version {theirs}, and {here} reads up to {newest}: upgrade it")
