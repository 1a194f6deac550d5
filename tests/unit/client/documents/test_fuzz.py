"""Random documents, from files and from other machines: the answer is a plain document or InvalidDocument."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill import documents
from gristmill.deployment.schema import ROOT
from gristmill.deployment.sections import Section
from gristmill.documents import asset_schema, computes, datastores, endpoint_schema, job_inputs
from gristmill.errors import InvalidDocument

READERS: dict[str, tuple[Any, Section]] = {
    "endpoint": (documents.load_endpoint, endpoint_schema.ENDPOINT),
    "deployment": (documents.load_deployment_document, ROOT),
    "model": (documents.load_model, asset_schema.MODEL),
    "data": (documents.load_data, asset_schema.DATA),
    "environment": (documents.load_environment, asset_schema.ENVIRONMENT),
    "compute": (documents.load_compute, computes.COMPUTE),
    "datastore": (documents.load_datastore, datastores.STORES["azure_blob"]),
    "job": (documents.load_job_inputs, job_inputs.JOB),
}
MORE_KEYS = ["traffic", "deployments", "local_path", "target", "docker", "pip", "", "a.b"]
WORDS = [
    "batch", "model", "s3", "local", "azure_blob", "abc", "azureml:m:1", "azureml:m@latest", "/etc/passwd", "..",
    "-r /etc/passwd", "upload:" + "0" * 64, "upload:x", "s3://b/k", "models:/m/1", "\0", "x" * 300, "1", "latest",
    "file:x", "x.whl",
]  # fmt: skip

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(0, 100),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(WORDS),
    st.text(max_size=9),
)


def of_keys(section: Section) -> st.SearchStrategy[dict[str, Any]]:
    keys = st.sampled_from(sorted({key.name for _, key in section.walk()} | set(MORE_KEYS)))
    values = st.recursive(
        scalars,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=4)),
        max_leaves=12,
    )
    return st.dictionaries(keys, values, max_size=8)


@pytest.mark.parametrize("kind", READERS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_mapping_is_read_or_refused(kind: str, data: st.DataObject):
    read, section = READERS[kind]
    document = data.draw(of_keys(section))
    local = {} if kind == "compute" else {"local": data.draw(st.booleans())}
    overrides = data.draw(st.lists(st.builds("{}={}".format, st.sampled_from(WORDS), st.text(max_size=5)), max_size=2))
    try:
        found = read(document, overrides=overrides, **local)
    except InvalidDocument as error:
        found = error
    if isinstance(found, InvalidDocument):
        assert found.faults
        assert all(str(fault).isprintable() for fault in found.faults)
    else:
        plain = found.endpoint if kind == "endpoint" else found
        assert json.loads(json.dumps(plain)) == plain
