# ruff: noqa: PTH118, PTH207, PTH208 - scripts look for their models with os and glob

from __future__ import annotations

import os
from glob import glob
from pathlib import Path

import pytest

from gristmill import spec
from gristmill.errors import Mistake, ModelNotFound
from gristmill.settings import ProcessSettings
from gristmill.spec import ModelType
from gristmill_workers import models
from gristmill_workers.models import has_python_function, is_mlflow, prepare_model

CODE = spec.CodeConfiguration(code="/code", scoring_script="score.py")


class Preparing:
    """Prepares models for jobs, each with a scratch folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log: list[str] = []
        self.jobs = 0
        self.variables = {"GRISTMILL_CACHE": str(folder / "cache")}

    def __call__(self, model: spec.Model | None, *, code=CODE) -> models.ModelFolder:
        self.jobs += 1
        settings = ProcessSettings.read(self.variables)
        deployment = spec.Deployment(model=model, code_configuration=code)
        scratch = self.folder / f"scratch{self.jobs}"
        return prepare_model(deployment, scratch=scratch, settings=settings, log=self.log.append)


@pytest.fixture
def prepare(tmp_path) -> Preparing:
    return Preparing(tmp_path)


@pytest.fixture
def torch_model(tmp_path) -> Path:
    """A registered folder as in Azure's samples: deployment-torch/model."""
    folder = tmp_path / "deployment-torch" / "model"
    (folder / "deep").mkdir(parents=True)
    (folder / "weights.pt").write_text("weights")
    (folder / "deep" / "labels.txt").write_text("labels")
    return folder


def mlflow_model(folder: Path, flavors: str = "{python_function: {loader_module: x}}") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "MLmodel").write_text(f"flavors: {flavors}\n")
    return folder


def test_the_registered_folder_is_in_the_model_dir_under_its_own_name(prepare, torch_model):
    found = prepare(spec.Model(path=str(torch_model)))
    folder = str(found.azureml_model_dir)
    assert os.listdir(folder) == ["model"]
    assert Path(glob(f"{folder}/*/*.pt")[-1]).read_text() == "weights"
    assert Path(glob(folder + "/*/")[0]) == Path(folder) / "model"
    assert Path(os.path.join(folder, "model", "deep", "labels.txt")).read_text() == "labels"
    assert found.mlflow_path is None


def test_walking_the_model_dir_finds_every_file(prepare, torch_model):
    folder = prepare(spec.Model(path=str(torch_model))).azureml_model_dir
    assert [file for _, _, files in os.walk(folder) for file in files] == ["weights.pt", "labels.txt"]
    assert sorted(path.name for path in folder.rglob("*.*")) == ["labels.txt", "weights.pt"]


def test_what_a_script_writes_beside_its_model_stays_out_of_the_users_folder(prepare, torch_model):
    folder = prepare(spec.Model(path=str(torch_model))).azureml_model_dir
    (folder / "model" / "cache.bin").write_text("x")
    assert sorted(os.listdir(torch_model)) == ["deep", "weights.pt"]


def test_a_registered_file_is_directly_in_the_model_dir(prepare, torch_model):
    folder = prepare(spec.Model(path=str(torch_model / "weights.pt"))).azureml_model_dir
    assert (folder / "weights.pt").read_text() == "weights"


def test_a_folder_of_very_many_files_is_linked_as_a_whole(prepare, torch_model, monkeypatch):
    monkeypatch.setattr(models, "_MIRROR", 2)
    folder = prepare(spec.Model(path=str(torch_model))).azureml_model_dir
    assert (folder / "model").is_symlink()
    assert glob(f"{folder}/*/*.pt")


def test_links_inside_a_model_still_lead_to_their_files(prepare, torch_model):
    (torch_model / "alias.pt").symlink_to("weights.pt")
    (torch_model / "deeper").symlink_to("deep")
    folder = prepare(spec.Model(path=str(torch_model))).azureml_model_dir / "model"
    assert (folder / "alias.pt").read_text() == "weights"
    assert (folder / "deeper" / "labels.txt").read_text() == "labels"


def test_a_second_preparation_in_the_same_folder_is_fine(tmp_path, torch_model):
    settings = ProcessSettings.read({"GRISTMILL_CACHE": str(tmp_path / "cache")})
    deployment = spec.Deployment(model=spec.Model(path=str(torch_model)), code_configuration=CODE)
    first, second = (prepare_model(deployment, scratch=tmp_path / "s", settings=settings, log=print) for _ in range(2))
    assert first == second


def test_no_model_is_fine_with_a_script_and_only_then(prepare):
    assert prepare(None) == models.ModelFolder(azureml_model_dir=None, mlflow_path=None)
    with pytest.raises(ModelNotFound, match="model: none is given, and no scoring script either"):
        prepare(None, code=None)


def test_a_missing_path_is_named(prepare, tmp_path):
    with pytest.raises(ModelNotFound, match=r"model.path: .*gone does not exist .* a URL"):
        prepare(spec.Model(path=str(tmp_path / "gone")))


def test_an_mlflow_model_is_known_by_its_file(prepare, tmp_path):
    folder = mlflow_model(tmp_path / "m")
    assert is_mlflow(folder)
    assert prepare(spec.Model(path=str(folder))).mlflow_path == folder
    assert prepare(spec.Model(path=str(folder), type=ModelType.MLFLOW), code=None).mlflow_path == folder
    assert prepare(spec.Model(path=str(folder), type=ModelType.CUSTOM)).mlflow_path is None
    assert prepare(spec.Model(path=str(folder), type=ModelType.CUSTOM), code=None).mlflow_path == folder


def test_a_no_code_deployment_of_no_mlflow_model_is_refused(prepare, torch_model, tmp_path):
    with pytest.raises(ModelNotFound, match=r"holds no MLmodel file; give the folder of an MLflow model, or a scoring"):
        prepare(spec.Model(path=str(torch_model)), code=None)
    with pytest.raises(ModelNotFound, match="holds no MLmodel file"):
        prepare(spec.Model(path=str(torch_model), type=ModelType.MLFLOW))
    mlflow_model(tmp_path / "outer" / "inner")
    with pytest.raises(ModelNotFound, match="did you mean its folder 'inner'"):
        prepare(spec.Model(path=str(tmp_path / "outer")), code=None)


def test_a_no_code_deployment_needs_the_python_function_flavor(prepare, tmp_path):
    folder = mlflow_model(tmp_path / "m", "{spark: {}}")
    assert not has_python_function(folder)
    assert prepare(spec.Model(path=str(folder))).mlflow_path == folder
    with pytest.raises(Mistake, match="has no python_function flavor"):
        prepare(spec.Model(path=str(folder)), code=None)
    (folder / "MLmodel").write_text("flavors: [")
    with pytest.raises(Mistake, match="MLmodel cannot be read"):
        prepare(spec.Model(path=str(folder)), code=None)
