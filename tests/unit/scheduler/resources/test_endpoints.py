from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from gristmill.errors import Conflict, InvalidDocument, Mistake, PreconditionFailed, ResourceNotFound
from gristmill_scheduler.resources.assembly import Resources
from gristmill_scheduler.resources.endpoints import Endpoints
from gristmill_storage.workspace import Workspace

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def endpoints(resources: Resources) -> Endpoints:
    return resources.endpoints


def test_an_endpoint_is_shown_with_its_scoring_uri(endpoints: Endpoints) -> None:
    made = endpoints.put("Mnist-Batch-AbC", {"name": "other", "description": "digits", "tags": {"a": "b"}}, by="ann")

    assert made.created
    assert made.document == {
        "id": "/batchEndpoints/mnist-batch-abc",
        "name": "mnist-batch-abc",
        "description": "digits",
        "tags": {"a": "b"},
        "properties": {},
        "auth_mode": "aad_token",
        "defaults": {},
        "scoring_uri": "http://here/batchEndpoints/mnist-batch-abc/jobs",
        "openapi_uri": "http://here/openapi.json",
        "provisioning_state": "Succeeded",
        "creation_context": made.document["creation_context"],
    }
    assert endpoints.get("MNIST-batch-abc").document == made.document


def test_what_is_shown_can_be_given_back(endpoints: Endpoints) -> None:
    shown = endpoints.put("abc", {}).document
    again = endpoints.put("abc", {**shown, "description": "new"}, expected=1)

    assert not again.created
    assert again.document["description"] == "new"
    with pytest.raises(PreconditionFailed):
        endpoints.put("abc", shown, expected=1)
    with pytest.raises(Conflict):
        endpoints.put("abc", shown, expected=0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ab", "The name for an endpoint must be at least 3 and at most 32 characters long"),
        ("a" * 33, "The name for an endpoint must be at least 3 and at most 32 characters long"),
        ("1abc", "String does not match expected pattern"),
        ("abc-", "String does not match expected pattern"),
        ("a_bc", "String does not match expected pattern"),
        ("../abc", "String does not match expected pattern"),
    ],
)
def test_a_name_is_as_azure_has_it(endpoints: Endpoints, name: str, message: str) -> None:
    with pytest.raises(Mistake, match=message):
        endpoints.put(name, {})
    with pytest.raises(ResourceNotFound, match="endpoint "):
        endpoints.get(name)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"traffic": {"d": 100}}, "traffic: Unknown field"),
        ({"colour": 1}, "colour: Unknown field"),
        ({"auth_mode": "none"}, "not in set"),
        ({"tags": 3}, "Not a valid mapping"),
    ],
)
def test_a_document_that_cannot_be_used_is_refused(endpoints: Endpoints, document: Any, message: str) -> None:
    with pytest.raises(InvalidDocument, match=message):
        endpoints.put("abc", document)


def test_a_default_must_be_there(endpoints: Endpoints) -> None:
    with pytest.raises(ResourceNotFound, match=r"defaults.deployment_name: there is no deployment ddd at endpoint abc"):
        endpoints.put("abc", {"defaults": {"deployment_name": "ddd"}})
    endpoints.put("abc", {})
    with pytest.raises(ResourceNotFound, match="no deployment ddd"):
        endpoints.set_default("abc", "ddd")
    with pytest.raises(ResourceNotFound, match="endpoint xyz"):
        endpoints.set_default("xyz", "ddd")


def test_a_default_stays_until_another_is_chosen(resources: Resources, deployment: Make) -> None:
    endpoints = resources.endpoints
    endpoints.put("abc", {})
    for name in ("one", "two"):
        resources.deployments.put("abc", name, deployment())
    endpoints.put("abc", {"defaults": {"deployment_name": "ONE"}})

    assert endpoints.put("abc", {"description": "x"}).document["defaults"] == {"deployment_name": "one"}
    assert endpoints.put("abc", {"description": "y", "defaults": {"deployment_name": None}}).document["defaults"]
    assert endpoints.set_default("abc", "two").document["defaults"] == {"deployment_name": "two"}
    assert endpoints.get("abc").document["description"] == "y"
    assert endpoints.put("abc", {"defaults": {"deployment_name": ""}}).document["defaults"] == {}


def test_deployments_that_are_made_the_default_side_by_side_lose_no_change_and_no_race(
    resources: Resources, deployment: Make
) -> None:
    resources.endpoints.put("abc", {})

    def deploy(number: int) -> None:
        resources.deployments.put("abc", f"d{number:02d}", deployment(), set_default=True)
        resources.endpoints.put("abc", {"tags": {"by": str(number)}})

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(deploy, range(6)))

    names = [each.document["name"] for each in resources.deployments.list("abc")]
    assert names == [f"d{number:02d}" for number in range(6)]
    assert resources.endpoints.get("abc").document["defaults"]["deployment_name"] in names


def test_deleting_an_endpoint_deletes_its_deployments(
    resources: Resources, workspace: Workspace, deployment: Make
) -> None:
    resources.endpoints.put("abc", {})
    resources.deployments.put("abc", "one", deployment(), set_default=True)
    resources.endpoints.delete("ABC")

    assert workspace.documents("batch-deployments", "abc").names() == []
    assert resources.endpoints.list() == []
    for call in (
        lambda: resources.endpoints.get("abc"),
        lambda: resources.endpoints.delete("abc"),
        lambda: resources.deployments.list("abc"),
    ):
        with pytest.raises(ResourceNotFound, match="endpoint abc: there is none"):
            call()


def test_a_deployment_of_an_earlier_endpoint_of_that_name_does_not_come_back(
    resources: Resources, workspace: Workspace, deployment: Make
) -> None:
    resources.endpoints.put("abc", {})
    resources.deployments.put("abc", "one", deployment())
    left = workspace.documents("batch-deployments", "abc").get("one")
    resources.endpoints.delete("abc")
    # It was being made while the endpoint was deleted.
    workspace.documents("batch-deployments", "abc").put("one", left.body)
    resources.endpoints.put("abc", {})

    assert resources.deployments.list("abc") == []
    with pytest.raises(ResourceNotFound):
        resources.endpoints.set_default("abc", "one")
    assert resources.deployments.put("abc", "one", deployment(), expected=0).created


def test_endpoints_are_listed_by_name(endpoints: Endpoints) -> None:
    for name in ("bbb", "AAA"):
        endpoints.put(name, {})

    assert [each.document["name"] for each in endpoints.list()] == ["aaa", "bbb"]


def test_keys_that_a_newer_server_wrote_are_passed_over(endpoints: Endpoints, workspace: Workspace) -> None:
    endpoints.put("abc", {})
    documents = workspace.documents("batch-endpoints")
    documents.put("abc", {**documents.get("abc").body, "later": 1})

    assert endpoints.get("abc").document["name"] == "abc"
