from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import pytest

from gristmill.service.resource import Resource, plain


@pytest.fixture
def endpoint() -> Resource:
    return Resource({"name": "digits", "defaults": {"deployment_name": "blue"}, "nodes": [{"name": "a"}], "tags": []})


def test_keys_are_attributes_however_deep(endpoint: Resource) -> None:
    assert endpoint.name == "digits"
    assert endpoint.defaults.deployment_name == "blue"
    assert endpoint.nodes[0].name == "a"
    assert endpoint["defaults"]["deployment_name"] == "blue"


def test_a_change_beneath_is_a_change_of_the_document(endpoint: Resource) -> None:
    endpoint.defaults.deployment_name = "green"
    endpoint.description = "Digits"
    endpoint["properties"] = Resource({"a": (1,)})
    endpoint.tags.append("x")

    assert plain(endpoint) == {
        "name": "digits",
        "defaults": {"deployment_name": "green"},
        "nodes": [{"name": "a"}],
        "tags": ["x"],
        "description": "Digits",
        "properties": {"a": [1]},
    }


def test_it_is_the_plain_document_still(endpoint: Resource) -> None:
    document: Any = {"name": "digits", "defaults": {"deployment_name": "blue"}, "nodes": [{"name": "a"}], "tags": []}

    assert dict(endpoint) == document
    assert {**endpoint} == document
    assert endpoint == document
    assert endpoint == Resource(document)
    assert endpoint != Resource({})
    assert json.loads(json.dumps(dict(endpoint))) == document
    assert list(endpoint) == list(document)
    assert len(endpoint) == 4
    assert "name" in endpoint
    assert endpoint.get("none") is None


def test_a_missing_attribute_names_what_there_is(endpoint: Resource) -> None:
    with pytest.raises(AttributeError, match="no 'nmae' in this document; it has: name, defaults, nodes, tags"):
        endpoint.nmae  # noqa: B018
    with pytest.raises(AttributeError, match="it has: nothing"):
        Resource().name  # noqa: B018
    with pytest.raises(AttributeError):
        del endpoint.nmae
    assert not hasattr(endpoint, "_anything")


def test_a_key_can_be_removed(endpoint: Resource) -> None:
    del endpoint.defaults

    assert "defaults" not in endpoint


def test_completion_offers_the_keys(endpoint: Resource) -> None:
    assert {"name", "defaults"} <= set(dir(endpoint))


def test_it_can_be_copied_and_pickled(endpoint: Resource) -> None:
    other = copy.deepcopy(endpoint)
    other.defaults.deployment_name = "green"

    assert endpoint.defaults.deployment_name == "blue"
    assert pickle.loads(pickle.dumps(endpoint)) == endpoint


def test_it_shows_its_document(endpoint: Resource) -> None:
    assert repr(endpoint).startswith('Resource({\n  "name": "digits"')
    shown = Resource({"name": "<b>", "n": None, "list": ["<i>"]})._repr_html_()
    assert "&lt;b&gt;" in shown
    assert "&lt;i&gt;" in shown
    assert "<b>" not in shown
