"""Whole jobs by the command that a user types, each in folders of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

GRISTMILL = Path(sys.executable).with_name("gristmill")

NAMES = """
    import os

    def init():
        pass

    def run(mini_batch):
        return [os.path.basename(path) for path in mini_batch]
"""


@dataclass(frozen=True)
class Ran:
    """What a command left."""

    returncode: int
    stdout: str
    stderr: str
    output: Path

    @property
    def rows(self) -> bytes:
        return (self.output / "predictions.csv").read_bytes()

    @property
    def summary(self) -> dict[str, Any]:
        return json.loads((self.output / "summary.json").read_text())

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.output / "errors.jsonl").read_text().splitlines()]

    @property
    def job(self) -> Path:
        """The job's folder."""
        (folder,) = (self.output / ".gristmill").iterdir()
        return folder


class Project:
    """A folder with a deployment, its code and an input."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.input = folder / "in"
        self.code = folder / "code"
        self.model = folder / "model"
        for path in (self.input, self.code, self.model):
            path.mkdir()
        (self.model / "weights").write_text("7")
        self._runs = 0

    def files(self, names: int | Iterable[str], content: str = "") -> None:
        """Put files into the input: so many, or by their names."""
        for name in [f"{n:05d}.txt" for n in range(names)] if isinstance(names, int) else names:
            path = self.input / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content or path.name)

    def script(self, text: str = NAMES, name: str = "score.py") -> None:
        """Write a module of the user's."""
        (self.code / name).write_text(textwrap.dedent(text))

    def deployment(self, *, no_code: bool = False, root: str = "", **settings: Any) -> Path:
        """Write a deployment with the settings given (and more lines at the root)."""
        path = self.folder / "deployment.yml"
        document: dict[str, Any] = {"type": "model", "name": "ddd", "endpoint_name": "eee", "model": {"path": "model"}}
        if not no_code:
            document["code_configuration"] = {"code": "code", "scoring_script": "score.py"}
        document["settings"] = {"retry_settings": {"max_retries": 1}, **settings}
        path.write_text(json.dumps(document)[:-1] + (f", {root}" if root else "") + "}")  # JSON is YAML
        return path

    def command(self, *arguments: object) -> list[str]:
        return [str(GRISTMILL), *map(str, arguments)]

    def run(
        self,
        *arguments: object,
        input: object = None,  # noqa: A002 - the command's own word
        output: object = None,
        timeout: float = 100,
        env: Mapping[str, str] | None = None,
        deployment: object = "deployment.yml",
    ) -> Ran:
        """Run the job to its end."""
        self._runs += 1
        output = self.folder / f"out{self._runs}" if output is None else output
        where = ["--input", self.input if input is None else input, "--output", output]
        process = subprocess.run(
            self.command("run", *([deployment] if deployment else []), *where, *arguments),
            cwd=self.folder,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Ran(process.returncode, process.stdout, process.stderr, Path(str(output)))


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def succeed(project: Project) -> Callable[..., Ran]:
    """Run and insist on success."""

    def run(*arguments: object, **options: Any) -> Ran:
        ran = project.run(*arguments, **options)
        assert ran.returncode == 0, ran.stderr
        return ran

    return run


def _save(path: Path, model: object, signature: object) -> Path:
    import mlflow.pyfunc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own remarks
        mlflow.pyfunc.save_model(
            str(path), python_model=model, signature=signature, pip_requirements=["mlflow", "cloudpickle"]
        )
    return path


@pytest.fixture(scope="session")
def brightness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of images: each one's mean, and how many images its call was given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
        import numpy as np
        import pandas as pd
        from mlflow.models import ModelSignature
        from mlflow.types import Schema, TensorSpec

        class Brightness(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                means = model_input.reshape(len(model_input), -1).mean(axis=1)
                return pd.DataFrame({"mean": means.round(3), "together": len(model_input)})

    signature = ModelSignature(inputs=Schema([TensorSpec(np.dtype("uint8"), (-1, 8, 8, 1))]))
    return _save(tmp_path_factory.mktemp("models") / "brightness", Brightness(), signature)


@pytest.fixture(scope="session")
def doubler(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of tables: x doubled, and how many rows its call was given."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow.pyfunc
        import pandas as pd
        from mlflow.models import infer_signature

        class Doubler(mlflow.pyfunc.PythonModel):
            def predict(self, context, model_input, params=None):
                return pd.DataFrame({"twice": model_input["x"] * 2, "together": len(model_input)})

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signature = infer_signature(pd.DataFrame({"x": [1, 2]}), pd.DataFrame({"twice": [2, 4], "together": [2, 2]}))
    return _save(tmp_path_factory.mktemp("models") / "doubler", Doubler(), signature)


@pytest.fixture
def use(project: Project) -> Callable[..., None]:
    """Put a model into the project, and its settings into a deployment."""

    def put(model: Path, **settings: Any) -> None:
        shutil.rmtree(project.model)
        shutil.copytree(model, project.model)
        project.deployment(no_code=True, **settings)

    return put
