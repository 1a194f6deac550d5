from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gristmill import spec
from gristmill.errors import ModelNotFound
from gristmill.settings import ProcessSettings
from gristmill_storage.files import open_store
from gristmill_workers import remote_models
from gristmill_workers.models import prepare_model
from gristmill_workers.remote_models import fetched, resolved

CODE = spec.CodeConfiguration(code="/code", scoring_script="score.py")


@pytest.fixture
def settings(tmp_path) -> ProcessSettings:
    return ProcessSettings.read(
        {"GRISTMILL_CACHE": str(tmp_path / "cache"), "MLFLOW_TRACKING_URI": "http://mlflow:5000"}
    )


@pytest.fixture
def remote(request):
    """A store that is not of this machine's files, with a folder, and another whose name begins like it."""
    store = open_store(f"memory://{request.node.name}")
    store.create("models/model/weights.pt", b"one")
    store.create("models/model/deep/labels.txt", b"labels")
    store.create("models/model2/other", b"other")
    return store


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_fetched_once_for_all_jobs(remote, settings):
    log: list[str] = []
    for url in (f"{remote.url}/models/model/", f"{remote.url}/models/model"):
        path = fetched(url, settings, log.append)
        assert path.name == "model"
        assert files(path) == {"weights.pt": b"one", "deep/labels.txt": b"labels"}
    assert len(log) == 1
    assert "2 files, 9 bytes" in log[0]


def test_a_file_is_fetched(remote, settings):
    path = fetched(f"{remote.url}/models/model/weights.pt", settings, print)
    assert (path.name, path.read_bytes()) == ("weights.pt", b"one")


def test_a_fetched_model_is_in_the_model_dir_under_its_own_name(remote, settings, tmp_path):
    model = spec.Model(path=f"{remote.url}/models/model")
    deployment = spec.Deployment(model=model, code_configuration=CODE)
    folder = prepare_model(deployment, scratch=tmp_path / "scratch", settings=settings, log=print).azureml_model_dir
    assert sorted(files(folder)) == ["model/deep/labels.txt", "model/weights.pt"]


def test_another_model_of_the_same_size_at_the_same_url_is_fetched_anew(remote, settings):
    url = f"{remote.url}/models/model"
    first = fetched(url, settings, print)
    remote.replace("models/model/weights.pt", b"two")
    assert (fetched(url, settings, print) / "weights.pt").read_bytes() == b"two"
    assert (first / "weights.pt").read_bytes() == b"one"


def test_what_an_interrupted_fetch_left_is_cleared(remote, settings):
    url = f"{remote.url}/models/model"
    kept = fetched(url, settings, print).parent
    (kept / "model" / "half").write_text("x")
    kept.rename(kept.with_name(kept.name + ".new"))
    assert sorted(files(fetched(url, settings, print))) == ["deep/labels.txt", "weights.pt"]
    assert not kept.with_name(kept.name + ".new").exists()


def test_nothing_at_a_url_is_said(remote, settings):
    with pytest.raises(ModelNotFound, match=r"model.path: there is nothing at memory://.*/models/gone"):
        fetched(f"{remote.url}/models/gone", settings, print)


class Registry:
    """A registry that hands out a new model at each question: a folder, or one file."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str | None]] = []
        self.one_file = False

    def resolve_model(self, model: spec.Model, destination: Path, *, tracking_uri: str | None) -> Path:
        self.asked.append((model.reference, tracking_uri))
        assert list(destination.iterdir()) == []
        folder = destination if self.one_file else destination / "best-one"
        folder.mkdir(exist_ok=True)
        weights = folder / "weights.pt"
        weights.write_text(str(len(self.asked)))
        return weights if self.one_file else folder


@pytest.fixture
def registry(monkeypatch) -> Registry:
    registry = Registry()
    monkeypatch.setattr(remote_models, "resolve_model", registry.resolve_model)
    return registry


def test_a_numbered_version_is_asked_for_once(registry, settings, tmp_path):
    model = spec.Model(reference="models:/digits/3", name="digits")
    for _ in range(2):
        path = resolved(model, tmp_path, settings, print)
        assert (path.name, (path / "weights.pt").read_text()) == ("best-one", "1")
    assert registry.asked == [("models:/digits/3", "http://mlflow:5000")]


def test_a_registered_file_is_the_file_each_time(registry, settings, tmp_path):
    registry.one_file = True
    found = [resolved(spec.Model(reference="models:/digits/3"), tmp_path, settings, print) for _ in range(2)]
    assert [path.name for path in found] == ["weights.pt", "weights.pt"]
    assert len(registry.asked) == 1


@pytest.mark.parametrize("reference", ["azureml:digits@latest", "models:/digits@champion", "models:/digits/Production"])
def test_a_name_that_may_come_to_mean_another_model_is_asked_for_each_time(registry, settings, tmp_path, reference):
    for expected in ("1", "2"):
        path = resolved(spec.Model(reference=reference, name="digits"), tmp_path, settings, print)
        assert (path / "weights.pt").read_text() == expected


def test_a_registry_that_was_made_anew_at_the_same_address_is_asked_again(registry, settings, tmp_path):
    server = f"sqlite:///{tmp_path}/mlflow.db"
    here = replace(settings, environment={**settings.environment, "MLFLOW_TRACKING_URI": server})
    model = spec.Model(reference="models:/digits/3")
    for expected in ("1", "2"):
        (tmp_path / "mlflow.db.lock").write_text(f"the life {expected}")
        for _ in range(2):
            assert (resolved(model, tmp_path, here, print) / "weights.pt").read_text() == expected


def test_a_registry_whose_files_are_on_this_machine_is_not_copied(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(remote_models, "resolve_model", lambda *_, **__: tmp_path / "store" / "digits")
    found = resolved(spec.Model(reference="models:/digits/3"), tmp_path, settings, print)
    assert found == tmp_path / "store" / "digits"
