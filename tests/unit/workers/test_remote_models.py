from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gristmill import spec
from gristmill.settings import ProcessSettings
from gristmill_workers import remote_models
from gristmill_workers.remote_models import resolved


@pytest.fixture
def settings(tmp_path) -> ProcessSettings:
    return ProcessSettings.read(
        {"GRISTMILL_CACHE": str(tmp_path / "cache"), "MLFLOW_TRACKING_URI": "http://mlflow:5000"}
    )


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
