from __future__ import annotations

import json

import pytest

from gristmill.errors import Corrupt, JobNotFound, NotFound
from gristmill.spec import Deployment, Input, Job, Output, to_json
from gristmill_storage import job_folder
from gristmill_storage.documents import document_or_none, read_document, read_job
from gristmill_storage.memory_store import MemoryStore


def test_an_object_comes_back() -> None:
    store = MemoryStore()
    store.create("a.json", b'{"x": [1]}')

    assert read_document(store, "a.json") == {"x": [1]}


def test_what_is_not_there_is_told() -> None:
    with pytest.raises(NotFound):
        read_document(MemoryStore(), "a.json")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"5", b"null", b"\xff\xfe", b"[" * 100_000])
def test_what_is_no_object_is_corrupt(data: bytes) -> None:
    store = MemoryStore()
    store.create("a.json", data)

    with pytest.raises(Corrupt, match=r"a\.json: is no JSON"):
        read_document(store, "a.json")


def test_an_object_or_none() -> None:
    store = MemoryStore()
    store.create("torn.json", b'{"x"')
    store.create("whole.json", b'{"x": 1}')

    assert document_or_none(store, "missing.json") is None
    assert document_or_none(store, "torn.json") is None
    assert document_or_none(store, "whole.json") == {"x": 1}


def test_a_job_comes_back() -> None:
    store = MemoryStore()
    job = Job(name="j", deployment=Deployment(), input=Input(uri="in"), output=Output(folder="out"))
    store.create(job_folder.SPEC, json.dumps(to_json(job)).encode())

    assert read_job(store) == job


@pytest.mark.parametrize(("data", "told"), [(None, "is missing"), (b"{", "is no JSON"), (b"{}", "cannot be read")])
def test_a_folder_without_a_job_is_told(data: bytes | None, told: str) -> None:
    store = MemoryStore()
    if data is not None:
        store.create(job_folder.SPEC, data)

    with pytest.raises(JobNotFound, match=told):
        read_job(store)
