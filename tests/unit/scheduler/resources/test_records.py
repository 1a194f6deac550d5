from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gristmill.errors import Conflict, PreconditionFailed, ResourceNotFound
from gristmill_scheduler.resources.records import Body, Record, Records
from gristmill_storage.workspace import Workspace


@pytest.fixture
def records(workspace: Workspace) -> Records:
    return Records(workspace.documents("things"), missing=lambda name: f"no thing {name}")


def holds(**body: Any) -> Any:
    return lambda _found: body


def test_it_is_known_who_made_a_document_and_who_changed_it(records: Records) -> None:
    made = records.write("a", holds(document={"x": 1}), by="ann")
    changed = records.write("a", holds(document={"x": 2}), by="ben")

    assert made.created
    assert not changed.created
    assert changed.document == {"x": 2}
    assert changed.context["created_by"] == "ann"
    assert changed.context["last_modified_by"] == "ben"
    assert changed.context["created_at"] == made.context["created_at"] <= changed.context["last_modified_at"]


def test_every_change_of_many_at_once_is_made(records: Records) -> None:
    def count(found: Record | None) -> Body:
        return {"document": {"n": (found.document["n"] if found else 0) + 1}}

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(records.write, "a", count) for _ in range(24)]:
            done.result()

    assert records.get("a").document == {"n": 24}


def test_what_is_expected_must_be_there(records: Records) -> None:
    records.write("a", holds(document={}), expected=0)

    with pytest.raises(Conflict):
        records.write("a", holds(document={}), expected=0)
    with pytest.raises(PreconditionFailed):
        records.write("a", holds(document={}), expected=7)
    with pytest.raises(PreconditionFailed):
        records.delete("a", expected=7)
    assert records.write("a", holds(document={}), expected=1).version == 2


def test_a_change_that_refuses_is_not_tried_again(records: Records) -> None:
    calls = []

    def refuse(_found: Record | None) -> Body:
        calls.append(1)
        raise Conflict("no")

    with pytest.raises(Conflict, match="no"):
        records.write("a", refuse)
    assert calls == [1]


def test_what_is_retired_is_gone_and_its_name_is_taken_until_it_is_made_anew(records: Records) -> None:
    records.write("a", holds(document={}), by="ann")
    records.retire("a", by="ben")

    assert records.find("a") is None
    assert records.names() == []
    assert records.taken() == ["a"]
    with pytest.raises(ResourceNotFound):
        records.retire("a")
    again = records.write("a", holds(document={}), expected=0, by="cal")
    assert again.created
    assert again.context["created_by"] == "cal"


@pytest.mark.parametrize("name", ["gone", "../x", "", "a b"])
def test_what_is_not_there_is_named(records: Records, name: str) -> None:
    with pytest.raises(ResourceNotFound, match="no thing"):
        records.get(name)
