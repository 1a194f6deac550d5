"""Random documents: whatever stands in one, the answer is a deployment or InvalidDeployment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gristmill import spec
from gristmill.deployment import build_deployment, load_deployment
from gristmill.deployment.schema import ROOT
from gristmill.errors import InvalidDeployment

KEYS = sorted({key.name for _, key in ROOT.walk()} | {"local_path", "traffic", "docker", "", "a.b", "<<"})
WORDS = [
    "azureml:m:1", "azureml:m@latest", "models:/m/1", "m:1", "./model", "mlflow", "code", "batch_driver.py", "model",
    "environment/conda.yaml", "environment/requirements.txt", "summary_only", "append_row", "csv", "parquet", "file",
    "custom_model", "local", "debug", "..", "/", "\0", "x" * 300, "10", "-1", "true", ",", "\t", "file:", "s3://b/k",
]  # fmt: skip

PIECES = [
    *KEYS, ": ", "\n", "  ", "- ", "{", "}", "[", "]", ",", "&a ", "*a", "<<: ", "!!int ", "'", '"', "#", "|", ">",
    "? ", "---", "\t", "10", "~", "model", "settings:\n  ",
]  # fmt: skip

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-5, max_value=300),
    st.integers(),
    st.floats(),
    st.sampled_from(WORDS),
    st.text(max_size=20),
)
keys = st.one_of(st.sampled_from(KEYS), st.text(max_size=8))
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=6)),
    max_leaves=25,
)
documents = st.dictionaries(keys, values, max_size=8)
sections = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["model", "pipeline", "Model", 1]),
        "name": scalars,
        "model": values,
        "code_configuration": st.fixed_dictionaries({}, optional={"code": scalars, "scoring_script": scalars}),
        "environment": st.dictionaries(st.sampled_from(["conda_file", "image", "requirements_file", "x"]), values),
        "environment_variables": st.dictionaries(st.text(max_size=4), values, max_size=3),
        "settings": st.dictionaries(keys, values, max_size=8),
        "resources": st.dictionaries(keys, scalars, max_size=3),
        "compute": values,
    },
)

quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    for name in ("code", "model", "mlflow", "environment"):
        (folder / name).mkdir()
    (folder / "code" / "batch_driver.py").write_text("def init(): ...\ndef run(mini_batch): return mini_batch\n")
    (folder / "mlflow" / "MLmodel").write_text("")
    (folder / "environment" / "conda.yaml").write_text("dependencies: [python=3.11]\n")
    (folder / "environment" / "requirements.txt").write_text("numpy\n")
    return folder


def check(outcome: Any) -> None:
    try:
        answer: spec.Deployment | InvalidDeployment = outcome()
    except InvalidDeployment as error:
        answer = error
    if isinstance(answer, InvalidDeployment):
        assert answer.faults
        assert all(str(fault).isprintable() for fault in answer.faults)
    else:
        assert spec.from_json(spec.Deployment, spec.to_json(answer)) == answer


@quick
@given(document=documents | sections)
def test_any_mapping_is_built_or_refused(place, document):
    check(lambda: build_deployment(document, source="fuzz", folder=place, friendly=True))


@quick
@given(document=documents | sections)
def test_any_mapping_written_as_yaml_is_loaded_or_refused(place, document):
    path = place / "deployment.yml"
    path.write_bytes(yaml.safe_dump(document, allow_unicode=False).encode("utf-8", "surrogatepass"))
    check(lambda: load_deployment(path))


@quick
@given(data=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
@example(data=b"a: !<tag:yaml.org,2002:null> x")
@example(data=b"a: !!float ''")
def test_any_bytes_are_loaded_or_refused(place, data):
    path = place / "bytes.yml"
    path.write_bytes(data)
    check(lambda: load_deployment(path))


@quick
@given(
    text=st.lists(st.sampled_from(PIECES), max_size=40).map("".join)
)  # fmt: skip
def test_any_pieces_of_yaml_are_loaded_or_refused(place, text):
    path = place / "pieces.yml"
    path.write_text(text)
    check(lambda: load_deployment(path))


@quick
@given(
    overrides=st.lists(
        st.text(max_size=20)
        | st.builds("{}.{}={}".format, st.sampled_from(KEYS), st.sampled_from(KEYS), st.sampled_from(WORDS) | st.text())
        | st.builds("{}={}".format, st.sampled_from(KEYS), st.text(max_size=10)),
        max_size=4,
    ),
    model=st.none() | st.sampled_from(WORDS) | st.text(max_size=10),
)
def test_any_override_and_any_stand_in_is_taken_or_refused(place, overrides, model):
    document = {"model": {"path": "mlflow"}, "settings": {"mini_batch_size": 5}}
    check(lambda: build_deployment(document, source="fuzz", folder=place, overrides=overrides, model=model))


@quick
@given(source=st.binary(max_size=100) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_scoring_script_is_taken_or_refused(place, source):
    (place / "code" / "any.py").write_bytes(source)
    document = {"code_configuration": {"code": "code", "scoring_script": "any.py"}}
    check(lambda: build_deployment(document, source="fuzz", folder=place))


@quick
@given(document=values, requirements=st.text(max_size=60))
def test_any_conda_and_requirements_file_is_taken_or_refused(place, document, requirements):
    (place / "any.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    (place / "any.txt").write_bytes(requirements.encode("utf-8", "surrogatepass"))
    for name in ("any.yml", "any.txt"):
        given_ = {
            "code_configuration": {"code": "code", "scoring_script": "batch_driver.py"},
            "environment": {"conda_file": name},
        }
        check(lambda given_=given_: build_deployment(given_, source="fuzz", folder=place))
