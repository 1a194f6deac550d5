"""Building environments, once for all who ask the same: by uv, or by conda where its packages are asked for.

cache/environments/<key>/
    venv/           the environment, built in place: it cannot be moved
    build.log       what the installer said, passwords left out
    ready.json      written last: without it the rest is a ruin, and is removed by the next who comes
cache/environments/<key>.lock
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uv
import yaml
from packaging.version import Version

from gristmill.errors import EnvironmentFailed
from gristmill.settings import ProcessSettings
from gristmill_workers.abandoning import always
from gristmill_workers.environments.asked import UNKNOWN_MLFLOW, Asked
from gristmill_workers.environments.conda import conda_command, conda_document, conda_tool, without_conda
from gristmill_workers.environments.gaps import bounds
from gristmill_workers.environments.pip_settings import uv_variables
from gristmill_workers.environments.pythons import Interpreter, ask, find_python
from gristmill_workers.environments.tool import ToolFailed, run_tool
from gristmill_workers.once import locked
from gristmill_workers.scorer_environment import inherited

#: Counted up when the same question is to be answered by another environment than before.
_FORMAT: Final = 1

#: Seconds that a build may take, compilers included.
BUILD_SECONDS: Final = 3600.0

#: Pythons before this one came with setuptools, and their packages import its `pkg_resources` without asking for it.
_BARE_SINCE: Final = Version("3.12")

Log = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Built:
    """An environment that is ready."""

    key: str
    executable: Path
    #: "3.8.18"
    python: str
    #: Whether it was there before it was asked for.
    reused: bool


def build(asked: Asked, settings: ProcessSettings, log: Log, wanted: Callable[[], bool] = always) -> Built:
    """Return the environment that holds what is asked for, from the cache or built now, for as long as it is wanted.

    Raises:
        EnvironmentFailed: no such Python is here, or the build failed.

    """
    if asked.conda and not conda_tool(settings.environment):
        raise EnvironmentFailed(without_conda(asked))
    interpreter = None if asked.conda else find_python(asked.python, settings)
    key = _key(asked, interpreter)
    folder = settings.cache / "environments" / key
    ready = _ready(folder)
    if ready is not None:
        return ready
    with locked(
        folder.with_name(f"{key}.lock"),
        seconds=BUILD_SECONDS,
        waiting=lambda: log(f"another process is building environment {key}: waiting for it"),
    ) as hold:
        if (ready := _ready(folder)) is not None:
            return ready
        return _Builder(asked, interpreter, folder, settings=settings, hold=hold, log=log, wanted=wanted).build()


def _key(asked: Asked, interpreter: Interpreter | None) -> str:
    """Return a hash of all that decides what the environment holds."""
    python = f"{interpreter.version.major}.{interpreter.version.minor}" if interpreter else asked.python.text
    lines = asked.requirements.lines
    content = {
        "format": _FORMAT,
        "platform": sysconfig.get_platform(),
        "python": python,
        "requirements": sorted([line.text, line.content, line.constraint] for line in lines if not line.option),
        "options": [*(line.text for line in lines if line.option), *asked.requirements.flags],
        "conda": [sorted(package.text for package in asked.conda), asked.channels if asked.conda else ()],
        "mlflow": str(asked.mlflow or ""),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def _ready(folder: Path) -> Built | None:
    """Return the environment in a folder, if it was built to its end and its interpreter is still there."""
    try:
        document = json.loads((folder / "ready.json").read_text())
        executable = folder / document["executable"]
        if not os.access(executable, os.X_OK):
            return None  # the Python that it was made from was removed
        return Built(key=folder.name, executable=executable, python=document["python"], reused=True)
    except (OSError, ValueError, KeyError, TypeError):
        return None


class _Builder:
    """One build, with the lock held."""

    def __init__(
        self,
        asked: Asked,
        interpreter: Interpreter | None,
        folder: Path,
        *,
        settings: ProcessSettings,
        hold: int,
        log: Log,
        wanted: Callable[[], bool],
    ) -> None:
        self._asked = asked
        self._interpreter = interpreter
        self._folder = folder
        self._settings = settings
        self._hold = hold
        self._log = log
        self._wanted_still = wanted
        self._venv = folder / "venv"
        self._variables = _tool_variables(settings.environment)

    def build(self) -> Built:
        self._clear()
        try:
            with (self._folder / "build.log").open("w") as record, tempfile.TemporaryDirectory() as private:
                self._record = record
                version = self._conda(Path(private)) if self._asked.conda else self._by_uv(Path(private))
        except ToolFailed as error:
            shutil.rmtree(self._venv, ignore_errors=True)
            message = f"{self._asked.source}: the environment cannot be built: {error.message}"
            raise EnvironmentFailed(message, detail=error.detail) from error
        except BaseException:
            shutil.rmtree(self._venv, ignore_errors=True)
            raise
        return self._publish(version)

    def _clear(self) -> None:
        """Remove what an earlier build left, and the sign that it was whole before all else."""
        (self._folder / "ready.json").unlink(missing_ok=True)
        shutil.rmtree(self._venv, ignore_errors=True)
        self._folder.mkdir(parents=True, exist_ok=True)

    def _publish(self, version: str) -> Built:
        executable = self._venv / "bin" / "python"
        document = {"format": _FORMAT, "python": version, "executable": str(executable.relative_to(self._folder))}
        temporary = self._folder / "ready.json.new"
        temporary.write_text(json.dumps(document))
        temporary.replace(self._folder / "ready.json")
        return Built(key=self._folder.name, executable=executable, python=version, reused=False)

    def _by_uv(self, private: Path) -> str:
        """Build by uv; return the Python's version."""
        interpreter = self._interpreter
        assert interpreter is not None
        program = _uv(self._settings.environment)
        self._say(f"building environment {self._folder.name} with Python {interpreter.version}")
        self._run(program, "venv", "--quiet", "--python", interpreter.path, "--no-project", self._venv)
        install: list[str | Path] = [program, "pip", "install", "--python", self._venv / "bin" / "python"]
        if interpreter.version < _BARE_SINCE and "setuptools" not in self._asked.requirements.names:
            self._seed(install)
        wanted = list(self._write(private))
        if wanted:
            self._run(*install, *self._asked.requirements.flags, *self._compile(), *wanted)
        return str(interpreter.version)

    def _seed(self, install: list[str | Path]) -> None:
        """Install what such a Python came with; what is asked for may replace it."""
        try:
            self._run(*install, "setuptools<81")
        except ToolFailed as error:
            self._say(f"setuptools, which many packages expect, cannot be had: {error.message}")

    def _compile(self) -> tuple[str, ...]:
        """Compile while building where scorers must not write what they compile: else each of them does it anew."""
        return ("--compile-bytecode",) if self._settings.environment.get("PYTHONDONTWRITEBYTECODE") else ()

    def _write(self, private: Path) -> Iterator[str | Path]:
        """Write what is to be installed into a private folder (addresses may hold passwords); yield uv's arguments."""
        limits = [line.text for line in self._asked.requirements.lines if line.constraint]
        for bound, reason in bounds(self._asked.requirements):
            self._say(f"{bound}, because {reason} came before what that leaves out, and breaks with it")
            limits.append(bound)
        for option, name, lines in (("-r", "requirements.txt", self._wanted()), ("-c", "constraints.txt", limits)):
            if lines:
                (private / name).write_text("\n".join(lines) + "\n")
                yield from (option, private / name)

    def _wanted(self) -> list[str]:
        """Return the lines of what is to be installed by pip's rules."""
        wanted = [line.text for line in self._asked.requirements.lines if not line.constraint]
        if self._asked.mlflow is None:
            return wanted
        return [*wanted, f"mlflow=={self._asked.mlflow}" if self._asked.mlflow > UNKNOWN_MLFLOW else "mlflow"]

    def _conda(self, private: Path) -> str:
        """Build by conda; return the Python's version."""
        program = conda_tool(self._settings.environment)
        self._say(f"building environment {self._folder.name} by {program}")
        file = private / "environment.yml"
        file.write_text(yaml.safe_dump(conda_document(self._asked, self._wanted())))
        self._run(*conda_command(program, self._venv, file))
        found = ask(self._venv / "bin" / "python")
        if found is None:
            raise ToolFailed(f"{program} made an environment whose Python does not run")
        return str(found.version)

    def _run(self, *command: str | Path) -> None:
        run_tool(
            command,
            variables=self._variables,
            folder=self._folder,
            log=self._say,
            seconds=BUILD_SECONDS,
            hold=self._hold,
            wanted=self._wanted_still,
        )

    def _say(self, line: str) -> None:
        self._record.write(line + "\n")
        self._record.flush()
        self._log(line)


def _uv(environment: Mapping[str, str]) -> str:
    """Return uv's program.

    Raises:
        EnvironmentFailed: there is none.

    """
    try:
        return uv.find_uv_bin()
    except FileNotFoundError:
        found = shutil.which("uv", path=environment.get("PATH", ""))
    if found is None:
        raise EnvironmentFailed("building an environment needs uv: pip install 'gristmill[worker]'")
    return found


def _tool_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of an installer.

    uv never fetches a Python by itself, and looks for a package in all indexes, as pip does, not only in the first
    that knows its name.
    """
    return {
        **inherited(environment),
        "UV_INDEX_STRATEGY": environment.get("UV_INDEX_STRATEGY") or "unsafe-best-match",
        **uv_variables(environment),
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
        "NO_COLOR": "1",
    }
