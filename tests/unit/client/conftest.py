from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gristmill import spec
from gristmill.deployment import load_deployment
from gristmill.errors import Fault, InvalidDeployment
from gristmill.local.session import close_all

SCRIPT = """\
import os

def init():
    global model
    model = os.environ["AZUREML_MODEL_DIR"]

def run(mini_batch):
    return [f"{path}: 1" for path in mini_batch]
"""

CONDA = """\
name: mnist-env
channels:
  - conda-forge
dependencies:
  - python=3.8.5
  - pip<22.0
  - pip:
      - torch==1.13.0
      - azureml-core
"""


def fill(folder: Path) -> Path:
    """Put a script, a model, an MLflow model and an environment's files into the folder."""
    for name in ("code", "model", "mlflow", "environment"):
        (folder / name).mkdir()
    (folder / "code" / "batch_driver.py").write_text(SCRIPT)
    (folder / "model" / "model.pt").write_bytes(b"weights")
    (folder / "mlflow" / "MLmodel").write_text("flavors: {}\n")
    (folder / "environment" / "conda.yaml").write_text(CONDA)
    (folder / "environment" / "requirements.txt").write_text("torch==2.2  # the newest\n\n# nothing\nnumpy\n")
    return folder


@pytest.fixture
def deployment_folder(tmp_path: Path) -> Path:
    return fill(tmp_path)


@pytest.fixture
def load(deployment_folder: Path) -> Callable[..., spec.Deployment]:
    """Load a deployment from its YAML text."""

    def call(text: str, **options: Any) -> spec.Deployment:
        path = deployment_folder / "deployment.yml"
        path.write_text(text, encoding="utf-8")
        return load_deployment(path, **options)

    return call


@pytest.fixture
def load_settings(load: Callable[..., spec.Deployment]) -> Callable[..., spec.Settings]:
    """Load the settings of a deployment with a script: the lines beneath `settings:`."""

    def call(*lines: str) -> spec.Settings:
        text = "type: model\ncode_configuration: {code: code, scoring_script: batch_driver.py}\nsettings:\n"
        return load(text + "".join(f"  {line}\n" for line in lines)).settings

    return call


@pytest.fixture
def faults(load: Callable[..., spec.Deployment]) -> Callable[..., tuple[Fault, ...]]:
    """Return the faults for which a YAML text is refused."""

    def call(text: str, **options: Any) -> tuple[Fault, ...]:
        with pytest.raises(InvalidDeployment) as caught:
            load(text, **options)
        return caught.value.faults

    return call


class Fakes:
    """Server, scheduler and node as small real processes that speak the protocol; `FAKE_...` says how they behave."""

    def __init__(self, notes: Path) -> None:
        self.notes = notes

    def note(self, name: str) -> str:
        """Return what a process noted, as soon as it has."""
        path = self.notes / name
        # One with a suffix has a content, which comes a moment after the file.
        wait_until(lambda: path.exists() and (not path.suffix or path.stat().st_size))
        return path.read_text()

    def alive(self) -> list[str]:
        """Return the names of those that run."""
        return [file.stem for file in sorted(self.notes.glob("*.pid")) if runs(int(file.read_text() or 0))]

    def left(self) -> list[str]:
        """Return the names of those that still run after a moment: the killed take one to be gone."""
        deadline = time.monotonic() + 3
        while self.alive() and time.monotonic() < deadline:
            time.sleep(0.01)
        return self.alive()


def wait_until(condition: Callable[[], object], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.01)


def runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return pid > 0 and state != "Z"


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fakes]:
    """Let every child that this process starts be a fake one; whatever the test does, none may be left."""
    notes = tmp_path / "notes"
    notes.mkdir()
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent / "fakes"))
    monkeypatch.setenv("FAKE_NOTES", str(notes))
    monkeypatch.delenv("GRISTMILL_REDIS_URL", raising=False)
    fakes = Fakes(notes)
    yield fakes
    close_all(at_once=True)
    assert fakes.left() == []


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a script, a model, a deployment of them, and an input of two files."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "batch_driver.py").write_text(SCRIPT)
    (tmp_path / "model").mkdir()
    (tmp_path / "input").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "input" / name).write_bytes(b"picture")
    (tmp_path / "deployment.yml").write_text(
        "name: digits\ntype: model\nmodel:\n  path: model\ncode_configuration:\n  code: code\n"
        "  scoring_script: batch_driver.py\nresources:\n  instance_count: 2\n"
        "settings:\n  output_format: csv\n"
    )
    return tmp_path
