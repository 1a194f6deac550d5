"""Whatever JSON holds, the answer is a document or a mistake of ours: never an error of Python's."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.errors import Mistake
from gristmill_scheduler.resources.assembly import Resources

KEYS: Final = [
    "account_name",
    "bucket",
    "code_configuration",
    "compute",
    "conda_file",
    "container_name",
    "credentials",
    "defaults",
    "deployment_name",
    "deployments",
    "environment",
    "error_threshold",
    "file",
    "id",
    "image",
    "max_instances",
    "min_instances",
    "model",
    "name",
    "path",
    "prefix",
    "requirements_file",
    "scoring_script",
    "settings",
    "tags",
    "type",
    "version",
]
WORDS: Final = [
    "",
    "/",
    "/etc/passwd",
    "/" + "x" * 300,
    "..",
    "a\0b",
    "\ud800",
    "azureml:",
    "azureml:a:1",
    "azureml://datastores/a/paths/../b",
    "azure_blob",
    "batch",
    "file://host/x",
    "local",
    "model",
    "s3",
    "uri_file",
    "upload:x",
    "https://[::1",
    "x" * 300,
]

texts = st.sampled_from(WORDS) | st.text(max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from(KEYS), values, max_size=6)
relaxed = settings(
    max_examples=40, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

PUTS: Final[dict[str, Callable[[Resources, str, Any], object]]] = {
    "endpoint": lambda resources, name, document: resources.endpoints.put(name, document),
    "deployment": lambda resources, name, document: resources.deployments.put("abc", name, document),
    "data": lambda resources, name, document: resources.data.add(name, document),
    "environment": lambda resources, name, document: resources.environments.put(name, "1", document),
    "datastore": lambda resources, name, document: resources.datastores.put(name, document),
    "compute": lambda resources, name, document: resources.computes.put(name, document),
}

#: Documents that are good, so that what spoils them is met deep inside.
GOOD: Final[dict[str, dict[str, Any]]] = {
    "endpoint": {"defaults": {"deployment_name": ""}},
    "deployment": {"model": {"path": "s3://b/m", "type": "mlflow_model"}, "settings": {"error_threshold": 1}},
    "data": {"path": "s3://b/x"},
    "environment": {"requirements_file": ["a"]},
    "datastore": {"type": "s3", "bucket": "b", "prefix": "x", "credentials": {"file": "/x"}},
    "compute": {"max_instances": 2},
}


@pytest.mark.parametrize("kind", PUTS)
@relaxed
@given(name=st.just("name") | texts, document=documents, inner=documents)
def test_no_document_breaks_anything(
    resources: Resources, kind: str, name: str, document: dict[str, Any], inner: dict[str, Any]
) -> None:
    good = {key: {**value, **inner} if isinstance(value, dict) else value for key, value in GOOD[kind].items()}
    with suppress(Mistake):
        resources.endpoints.put("abc", {})
    for spoilt in ({**good}, {**GOOD[kind], **document}):
        with suppress(Mistake):
            PUTS[kind](resources, name, spoilt)


@relaxed
@given(text=texts | st.from_regex(r"(azureml:|/|upload:|file:|s3:)[/a-z.:@%\0]{0,20}", fullmatch=True))
def test_no_address_breaks_anything(resources: Resources, text: str) -> None:
    for kind in ("input", "output", "code", "model"):
        with suppress(Mistake):
            resources.references.uri(text, kind=kind)
    for get in (resources.endpoints.get, resources.datastores.get, resources.computes.get, resources.data.versions):
        with suppress(Mistake):
            get(text)


@relaxed
@given(text=texts | st.from_regex(r"(settings|resources)\.[a-z_.]{0,20}=.{0,8}", fullmatch=True))
def test_no_override_breaks_anything(resources: Resources, root: object, text: str) -> None:
    resources.endpoints.put("abc", {})
    resources.deployments.put(
        "abc", "one", {"code_configuration": {"code": f"{root}/code", "scoring_script": "score.py"}}
    )
    with suppress(Mistake):
        resources.deployments.job_deployment("abc", "one", [text])
