"""Folders that are no models: loading each ends in an error that says something, and nothing is written."""

from __future__ import annotations

import logging
import shutil
import warnings
from pathlib import Path

import pytest
import yaml

from gristmill_workers.scorer.nocode import NoCodeScorer


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that MLflow saved."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc

        class Same(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                return model_input

        path = tmp_path_factory.mktemp("model") / "same"
        mlflow.pyfunc.save_model(str(path), python_model=Same(), pip_requirements=["mlflow"])
    return path


#: What the file MLmodel says instead.
MLMODEL: dict[str, bytes] = {
    "empty": b"",
    "null": b"null",
    "a number": b"5",
    "a list": b"[1, 2]",
    "a text": b"hello",
    "no YAML": b"{{{{",
    "no UTF-8": b"\xff\xfe\x00",
    "NUL": b"flavors: \0",
    "tabs": b"flavors:\n\t- x",
    "no flavors": b"run_id: abc\n",
    "flavors are none": b"flavors:\n",
    "flavors are a list": b"flavors: [python_function]\n",
    "flavors are empty": b"flavors: {}\n",
    "another flavor": b"flavors: {sklearn: {pickled_model: model.pkl}}\n",
    "a flavor without a loader": b"flavors: {python_function: {}}\n",
    "a flavor that is a text": b"flavors: {python_function: yes}\n",
    "a loader that is not there": b"flavors: {python_function: {loader_module: no_such_module}}\n",
    "a loader that is a number": b"flavors: {python_function: {loader_module: 5}}\n",
    "a loader that is no loader": b"flavors: {python_function: {loader_module: json}}\n",
    "a model that is not there": b"flavors: {python_function: {loader_module: mlflow.sklearn, model_path: no.pkl}}\n",
    "a model outside": b"flavors: {python_function: {loader_module: mlflow.sklearn, model_path: ../../etc/passwd}}\n",
    "an object of Python's": b"flavors: !!python/object/apply:os.mkdir [hacked]\n",
    "endless aliases": b"a: &a [x,x]\nb: &b [*a,*a]\nflavors: *b\n",
    "deep": b"flavors: " + b"{a: " * 500 + b"}" * 500,
}

#: Keys of a good MLmodel that are changed.
CHANGED: dict[str, dict[str, object]] = {
    "signature is a text": {"signature": "yes"},
    "signature is a list": {"signature": [1]},
    "inputs are no JSON": {"signature": {"inputs": "[{"}},
    "inputs are a number": {"signature": {"inputs": "5"}},
    "inputs of an unknown type": {"signature": {"inputs": '[{"name": "x", "type": "quaternion"}]'}},
    "inputs without a type": {"signature": {"inputs": '[{"name": "x"}]'}},
    "a tensor without a shape": {"signature": {"inputs": '[{"type": "tensor", "tensor-spec": {"dtype": "uint8"}}]'}},
    "a tensor of an unknown type": {
        "signature": {"inputs": '[{"type": "tensor", "tensor-spec": {"dtype": "bits", "shape": [-1]}}]'}
    },
}


#: What is in the folder instead of a model.
FOLDERS: dict[str, dict[str, bytes]] = {
    "nothing": {},
    "a file of another kind": {"model.pkl": b"cos\nmkdir\n(S'hacked'\ntR."},
    "MLmodel is a folder": {"MLmodel/x": b""},
    "two models": {"a/MLmodel": b"flavors: {}", "b/MLmodel": b"flavors: {}"},
}


def check(model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading fails with a reason, and leaves nothing in the folder that it is in."""
    monkeypatch.chdir(folder)
    before = sorted(folder.iterdir())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scorer = NoCodeScorer({"path": str(model)}, logging.getLogger("test"))
        with pytest.raises(Exception, match=r"\S"):
            scorer.load()
    assert sorted(folder.iterdir()) == before


@pytest.mark.parametrize("case", MLMODEL)
def test_an_mlmodel_that_is_none(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    model = shutil.copytree(good, tmp_path / "model")
    (model / "MLmodel").write_bytes(MLMODEL[case])

    check(model, tmp_path, monkeypatch)


@pytest.mark.parametrize("case", CHANGED)
def test_an_mlmodel_with_a_wrong_key(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    model = shutil.copytree(good, tmp_path / "model")
    document = yaml.safe_load((model / "MLmodel").read_text())
    (model / "MLmodel").write_text(yaml.safe_dump({**document, **CHANGED[case]}))

    check(model, tmp_path, monkeypatch)


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_that_is_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    for name, data in FOLDERS[case].items():
        path = tmp_path / "model" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    check(tmp_path / "model", tmp_path, monkeypatch)


@pytest.mark.parametrize("size", [0, 1, 100])
def test_a_model_whose_pickle_is_torn(good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    model = shutil.copytree(good, tmp_path / "model")
    pickle = model / "python_model.pkl"
    pickle.write_bytes(pickle.read_bytes()[:size])

    check(model, tmp_path, monkeypatch)
