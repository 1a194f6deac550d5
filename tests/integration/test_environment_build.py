"""Real environments, built by uv: from wheels and projects made here, and twice from the package registry."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import uv
import yaml

from gristmill import spec
from gristmill.errors import EnvironmentFailed
from gristmill.settings import ProcessSettings
from gristmill.spec import EnvironmentMode
from gristmill_workers.environments import ScorerPython, prepare_environment
from gristmill_workers.environments.pythons import find_python
from gristmill_workers.environments.versions import python_wish

CODE = spec.CodeConfiguration(code="/code", scoring_script="score.py")

#: A build backend without dependencies, that notes each build and holds it up until it is told to go on.
BACKEND = """
import json, os, time, zipfile
from pathlib import Path
HERE = Path(__file__).resolve().parent.parent
def build_wheel(folder, *unused, **also):
    (HERE / f"begun-{os.getpid()}").write_text(json.dumps(sorted(os.environ)))
    end = time.monotonic() + 60
    while not (HERE / "go-on").exists() and time.monotonic() < end:
        time.sleep(0.02)
    name = "slow-1.0-py3-none-any.whl"
    with zipfile.ZipFile(Path(folder) / name, "w") as wheel:
        wheel.writestr("slow.py", "VALUE = 42\\n")
        wheel.writestr("slow-1.0.dist-info/METADATA", "Metadata-Version: 2.1\\nName: slow\\nVersion: 1.0\\n")
        wheel.writestr("slow-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr("slow-1.0.dist-info/RECORD", "")
    return name
"""


def make_wheel(folder: Path, name: str, version: str, module: str) -> None:
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"{name}.py", module)
        wheel.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")


def wait_for(condition: Callable[[], object], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)


def evaluate(python: Path, expression: str, imports: str) -> str:
    done = subprocess.run(
        [python, "-c", f"import {imports}; print({expression})"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class Building:
    """A process that builds, and what it has said so far."""

    def __init__(self, arguments: list[str], builder: Builder) -> None:
        self._output = builder.folder / f"output{len(list(builder.folder.glob('output*')))}"
        with self._output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, *arguments],
                env=builder.variables,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        return self._output.read_text()

    def result(self) -> dict[str, str]:
        assert self.process.wait(60) == 0, self.said()
        return json.loads(self.said().splitlines()[-1])


class Builder:
    """Builds environments from a folder of wheels, without a network, into a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.wheels = folder / "wheels"
        self.cache = folder / "cache"
        self.log: list[str] = []
        make_wheel(self.wheels, "gmtiny", "1.0", "VALUE = 1\n")
        make_wheel(self.wheels, "gmtiny", "2.0", "VALUE = 2\n")
        self.variables = {
            # Not what leads uv itself: `make test` hands pip's own settings on in that form.
            **{name: value for name, value in os.environ.items() if not name.startswith("UV_")},
            "GRISTMILL_CACHE": str(self.cache),
            "GRISTMILL_REDIS_URL": "redis://:secret@host/0",
            "PIP_FIND_LINKS": str(self.wheels),
            "PIP_NO_INDEX": "1",
            "UV_CACHE_DIR": str(folder / "uv"),
        }

    def __call__(self, *requirements: str, mode: EnvironmentMode = EnvironmentMode.AUTO) -> ScorerPython:
        return self.prepare(mode, environment=spec.Environment(requirements=requirements), code_configuration=CODE)

    def prepare(self, mode: EnvironmentMode, model: Path | None = None, **deployment) -> ScorerPython:
        return prepare_environment(
            spec.Deployment(**deployment),
            mode,
            mlflow_model=model,
            settings=ProcessSettings.read(self.variables),
            log=self.log.append,
        )

    def start(self, *requirements: str) -> Building:
        """Begin to build in a process of its own."""
        return Building([str(Path(__file__).with_name("environment_prober.py")), *requirements], self)

    def project(self) -> Path:
        """A project whose build waits for the file `go-on` beside it."""
        project = self.folder / "slow" / "project"
        project.mkdir(parents=True)
        (project / "backend.py").write_text(BACKEND)
        (project / "pyproject.toml").write_text(
            '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
            '[project]\nname = "slow"\nversion = "1.0"\n'
        )
        return project

    def builds(self) -> list[Path]:
        return list((self.folder / "slow").glob("begun-*"))

    def go_on(self) -> None:
        (self.folder / "slow" / "go-on").touch()


@pytest.fixture
def builder(tmp_path) -> Builder:
    return Builder(tmp_path)


def test_what_is_asked_for_is_built_and_found_again(builder):
    python = builder("gmtiny==1.0")
    assert python.origin == "built"
    assert "gmtiny is not installed" in python.why
    assert evaluate(python.executable, "gmtiny.VALUE", "gmtiny") == "1"
    assert "+ gmtiny==1.0" in (builder.cache / "environments" / python.key / "build.log").read_text()
    assert any("+ gmtiny==1.0" in line for line in builder.log)

    builder.log.clear()
    again = builder("GMtiny == 1.0")
    assert (again.executable, again.key) == (python.executable, python.key)
    assert "from the cache" in again.why
    assert builder.log == ["the worker's own Python does not do: gmtiny is not installed"]


def test_a_ready_environment_costs_milliseconds(builder):
    builder("gmtiny")
    seconds = []
    for _ in range(10):
        began = time.perf_counter()
        builder("gmtiny")
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.05


def test_other_requirements_are_another_environment(builder):
    keys = {builder(line).key for line in ("gmtiny==1.0", "gmtiny==2.0", "gmtiny<2")}
    assert len(keys) == 3


def test_constraints_bound_what_is_built(builder, tmp_path):
    (tmp_path / "c.txt").write_text("gmtiny<2\n")
    python = builder(f"-c {tmp_path / 'c.txt'}", "gmtiny")
    assert evaluate(python.executable, "gmtiny.VALUE", "gmtiny") == "1"


def test_options_in_the_file_say_where_packages_are(builder, tmp_path):
    make_wheel(tmp_path / "more", "gmother", "1.0", "VALUE = 3\n")
    python = builder(f"--find-links {tmp_path / 'more'}", "gmother")
    assert evaluate(python.executable, "gmother.VALUE", "gmother") == "3"


def test_mode_model_builds_what_the_worker_has_already(builder):
    make_wheel(builder.wheels, "packaging", "99.0", "")
    assert builder("packaging").origin == "worker"
    python = builder("packaging", mode=EnvironmentMode.MODEL)
    assert (python.origin, python.python) == ("built", ".".join(map(str, sys.version_info[:3])))


def test_a_requirement_that_cannot_be_had_is_named_and_leaves_no_ruin(builder):
    with pytest.raises(EnvironmentFailed) as raised:
        builder("gmtiny==3.0")
    assert raised.value.message.startswith("environment.requirements_file: the environment cannot be built: ")
    assert "gmtiny==3.0" in raised.value.message
    assert "\n" not in raised.value.message
    assert "gmtiny==3.0" in raised.value.detail
    (folder,) = (path for path in (builder.cache / "environments").iterdir() if path.is_dir())
    assert [path.name for path in folder.iterdir()] == ["build.log"]

    make_wheel(builder.wheels, "gmtiny", "3.0", "VALUE = 3\n")
    assert evaluate(builder("gmtiny==3.0").executable, "gmtiny.VALUE", "gmtiny") == "3"


def test_an_environment_whose_python_is_gone_is_built_anew(builder):
    python = builder("gmtiny")
    python.executable.unlink()
    python.executable.symlink_to("/no/such/python")
    assert "built now" in builder("gmtiny").why
    assert evaluate(python.executable, "gmtiny.VALUE", "gmtiny") == "2"


def test_a_build_learns_nothing_of_our_server(builder):
    project = builder.project()
    builder.go_on()
    assert evaluate(builder(str(project)).executable, "slow.VALUE", "slow") == "42"
    (begun,) = builder.builds()
    assert not [name for name in json.loads(begun.read_text()) if name.startswith("GRISTMILL")]


def test_two_processes_build_once(builder):
    project = str(builder.project())
    both = [builder.start(project), builder.start(project)]
    wait_for(lambda: builder.builds() and any("waiting for it" in each.said() for each in both))
    builder.go_on()
    results = [each.result() for each in both]
    assert results[0]["executable"] == results[1]["executable"]
    assert sorted("from the cache" in result["why"] for result in results) == [False, True]
    assert len(builder.builds()) == 1


def test_a_killed_builder_is_followed_by_another(builder):
    project = str(builder.project())
    first = builder.start(project)
    wait_for(builder.builds)
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    second = builder.start(project)
    builder.go_on()
    result = second.result()
    assert "built now" in result["why"]
    assert evaluate(Path(result["executable"]), "slow.VALUE", "slow") == "42"


def test_a_no_code_model_gets_the_mlflow_it_was_saved_with(builder, tmp_path):
    make_wheel(builder.wheels, "mlflow", "99.1", "VALUE = 99\n")
    make_wheel(builder.wheels, "mlflow", "99.2", "")
    (tmp_path / "MLmodel").write_text(yaml.safe_dump({"mlflow_version": "99.1", "flavors": {"python_function": {}}}))
    (tmp_path / "requirements.txt").write_text("gmtiny\n")
    python = builder.prepare(EnvironmentMode.AUTO, tmp_path)
    assert evaluate(python.executable, "gmtiny.VALUE, mlflow.VALUE", "gmtiny, mlflow") == "2 99"


def test_conda_packages_are_built_by_what_is_on_path(builder, tmp_path):
    """Conda is not to be had everywhere: this stands in for it, and makes a plain environment of what it is given."""
    program = tmp_path / "bin" / "micromamba"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\nset -e\necho "$@" > {tmp_path}/arguments\ncp "$6" {tmp_path}/given.yml\n'
        f'exec {sys.executable} -m venv --without-pip "$4"\n'
    )
    program.chmod(0o755)
    builder.variables["PATH"] = f"{program.parent}:{os.environ['PATH']}"
    document = {"channels": ["x"], "dependencies": ["python=3.11", "azureml-core", "gmconda=1.1", {"pip": ["gmtiny"]}]}
    python = builder.prepare(
        EnvironmentMode.AUTO, environment=spec.Environment(conda=document), code_configuration=CODE
    )
    assert (python.origin, python.python) == ("built", ".".join(map(str, sys.version_info[:3])))
    assert (tmp_path / "arguments").read_text().startswith("create --yes --prefix /")
    assert yaml.safe_load((tmp_path / "given.yml").read_text()) == {
        "channels": ["x"],
        "dependencies": ["python=3.11", "gmconda=1.1", "pip", {"pip": ["gmtiny"]}],
    }


@pytest.fixture
def registry(builder) -> Builder:
    """A builder that installs from wherever this machine's pip does; skips where that cannot be reached at all."""
    for name in ("PIP_FIND_LINKS", "PIP_NO_INDEX", "UV_CACHE_DIR"):
        builder.variables.pop(name)
        if name in os.environ:
            builder.variables[name] = os.environ[name]
    dry = [uv.find_uv_bin(), "pip", "install", "--dry-run", "--reinstall", "--python", sys.executable, "six"]
    tried = subprocess.run(dry, capture_output=True, text=True, env=builder.variables, check=False)
    if tried.returncode and any(
        sign in tried.stderr for sign in ("error sending request", "Failed to fetch", "dns error")
    ):
        pytest.skip("the package registry cannot be reached")
    return builder


def test_a_package_of_the_registry(registry):
    python = registry("colorama==0.4.6")
    assert evaluate(python.executable, "colorama.__version__", "colorama") == "0.4.6"


def test_an_old_deployment_really_builds_and_runs(registry):
    """Azure's samples ask for python=3.8.5 and what was new then; any 3.8 will do."""
    settings = ProcessSettings.read(registry.variables)
    try:
        find_python(python_wish("=3.8.5", "x"), settings)
    except EnvironmentFailed:
        pytest.skip("this machine has no Python 3.8")
    pip = [
        "azureml-core",
        "azureml-dataset-runtime[fuse]",
        "scikit-learn==1.1.3",
        "pandas==1.5.3",
        "mlflow-skinny==2.9.2",
    ]
    document = {"name": "e", "channels": ["conda-forge"], "dependencies": ["python=3.8.5", "pip<22", {"pip": pip}]}
    python = registry.prepare(
        EnvironmentMode.AUTO, environment=spec.Environment(conda=document), code_configuration=CODE
    )
    assert python.python.startswith("3.8.")
    versions = "sklearn.__version__, pandas.__version__, mlflow.__version__"
    assert evaluate(python.executable, versions, "sklearn, pandas, mlflow.pyfunc") == "1.1.3 1.5.3 2.9.2"
