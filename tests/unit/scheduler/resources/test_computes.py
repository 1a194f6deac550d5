from __future__ import annotations

from typing import Any

import pytest

from gristmill.documents.computes import COMPUTE
from gristmill.errors import Conflict, InvalidDocument, Mistake, ResourceNotFound
from gristmill_scheduler.resources.computes import Computes
from gristmill_storage.workspace import Workspace


@pytest.fixture
def computes(workspace: Workspace) -> Computes:
    return Computes(workspace)


def test_a_compute_has_limits(computes: Computes) -> None:
    made = computes.put("batch-cluster", {"type": "amlcompute", "size": "Standard_DS3", "max_instances": 5}, by="ann")

    assert made.created
    assert made.document["id"] == "/computes/batch-cluster"
    assert (made.document["min_instances"], made.document["max_instances"]) == (0, 5)
    assert made.document["size"] == "Standard_DS3"
    assert not computes.put("batch-cluster", made.document).created


def test_as_in_azure_the_most_is_four_where_nothing_is_said(computes: Computes) -> None:
    assert computes.put("c", {}).document["max_instances"] == 4
    assert computes.put("c", {}).document["type"] == "amlcompute"


def test_what_holds_without_a_word_is_what_the_page_of_its_keys_says(computes: Computes) -> None:
    said = {key.name: key.default.strip("`") for key in COMPUTE.keys}
    kept = computes.put("c", {}).document

    for name in ("type", "min_instances", "max_instances"):
        assert str(kept[name]) == said[name]


def test_more_instances_than_there_are_is_refused_with_both_numbers(computes: Computes) -> None:
    computes.put("c", {"max_instances": 2})

    computes.check("c", 2)
    with pytest.raises(Mistake, match=r"instance_count: 3 is more than compute c has, max_instances 2"):
        computes.check("c", 3)
    with pytest.raises(ResourceNotFound, match="compute d: there is none"):
        computes.check("d", 1)


def test_local_is_built_in_and_takes_any_number_until_it_is_told(computes: Computes) -> None:
    computes.check("local", 1000)
    assert [each.document["name"] for each in computes.list()] == ["local"]
    with pytest.raises(Conflict, match="built in"):
        computes.delete("local")

    computes.put("local", computes.get("local").document)
    computes.check("local", 1000)
    computes.put("local", {"max_instances": 1})
    with pytest.raises(Mistake, match="instance_count: 2"):
        computes.check("local", 2)
    assert [each.document["name"] for each in computes.list()] == ["local"]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"max_instances": 0}, "max_instances: 0 is out of range"),
        ({"min_instances": 5}, "min_instances: 5 is more than max_instances 4"),
        ({"min_instances": 3, "max_instances": 2}, "min_instances: 3 is more than max_instances 2"),
        ({"type": "aks"}, "not in set"),
        ({"instances": 2}, "Unknown field"),
    ],
)
def test_a_compute_that_cannot_be_used_is_refused(computes: Computes, document: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidDocument, match=message):
        computes.put("c", document)


def test_names_and_missing_ones(computes: Computes) -> None:
    for name in ("a/b", "", "-x", "x" * 65, "azureml:x"):
        with pytest.raises(Mistake, match=r"^name: "):
            computes.put(name, {})
    computes.put("c", {})
    computes.delete("c")
    for call in (lambda: computes.get("c"), lambda: computes.delete("c"), lambda: computes.get("../x")):
        with pytest.raises(ResourceNotFound, match="compute"):
            call()
