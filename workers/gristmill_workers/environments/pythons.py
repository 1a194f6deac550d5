"""Finding an interpreter of the version asked for, among all that this machine has.

Searched: what GRISTMILL_PYTHONS names, then the worker's own, PATH, the version folders of pyenv and uv, and conda's
environments. A name proves nothing (pyenv's shims bear the name of every version and run none): each candidate is
run and says itself what it is. The answers are kept in a file, so that a second search starts no process.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from packaging.version import Version

from gristmill.errors import EnvironmentFailed
from gristmill.settings import ProcessSettings
from gristmill_workers.environments.versions import OLDEST, PythonWish

#: What a candidate is asked; it answers in one line of JSON.
_QUESTION: Final = (
    "import json, platform, sys; "
    "print(json.dumps([platform.python_implementation(), platform.python_version(), sys.executable]))"
)

#: Seconds that a candidate has for its answer.
_PATIENCE: Final = 20

#: The names of interpreters in a folder of programs; the plain ones come last.
_NAMES: Final = (*(f"python3.{minor}" for minor in range(OLDEST.minor, 31)), "python3", "python")


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """A Python that was run and is what it says."""

    path: Path
    version: Version


def find_python(wish: PythonWish, settings: ProcessSettings) -> Interpreter:
    """Return the interpreter that fits a wish best.

    One that GRISTMILL_PYTHONS names comes first; then the exact version asked for, then the worker's own, then the
    newest.

    Raises:
        EnvironmentFailed: this machine has none; the message says how to get one, or how to allow another.

    """
    own = Interpreter(path=Path(sys.executable), version=_own_version())
    answers = _Answers(settings.cache / "pythons.json")
    try:
        named = [found for path in _named(settings.pythons) if (found := answers.of(path))]
        elsewhere = [own, *(found for path in _elsewhere(settings.environment) if (found := answers.of(path)))]
    finally:
        answers.keep()
    for group in (named, elsewhere):
        fitting = [found for found in group if found.version >= OLDEST and wish.accepts(found.version)]
        if fitting:
            return max(fitting, key=lambda found: (found.version == wish.exact, found == own, found.version))
    raise EnvironmentFailed(_refusal(wish, [*named, *elsewhere]))


def _own_version() -> Version:
    return Version(sys.version.split()[0].rstrip("+"))


def _refusal(wish: PythonWish, found: Iterable[Interpreter]) -> str:
    if wish.too_old():
        return f"{wish.text} is asked for, and scorers run on Python {OLDEST} or newer; ask for a newer one"
    here = ", ".join(str(version) for version in sorted({each.version for each in found}))
    version = f"{wish.exact.major}.{wish.exact.minor}" if wish.exact else wish.text.removeprefix("python").lstrip("= ")
    return (
        f"{wish.text} is asked for and this machine has {here}; get one ('uv python install {version}', pyenv, conda), "
        f"name one in GRISTMILL_PYTHONS, loosen python= in the deployment, or allow the worker's own by --env inherit"
    )


class _Answers:
    """What candidates said of themselves, as long as their files are the same."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = False
        try:
            document = json.loads(path.read_text())
        except (OSError, ValueError):
            document = {}
        self._known: dict[str, list[str]] = document if isinstance(document, dict) else {}

    def of(self, path: Path) -> Interpreter | None:
        """Return what a candidate is; None where it does not run, or is no CPython."""
        stamp = _stamp(path)
        if not stamp:
            return None
        answer = self._remembered(path, stamp) or ask(path)
        if answer is not None:
            note = [stamp, str(answer.version), str(answer.path)]
            self._changed |= self._known.get(str(path)) != note
            self._known[str(path)] = note
        return answer

    def _remembered(self, path: Path, stamp: str) -> Interpreter | None:
        match self._known.get(str(path)):
            case [str() as known, str() as version, str() as executable] if (
                known == stamp and Path(executable).exists()
            ):
                return Interpreter(path=Path(executable), version=Version(version))
        return None

    def keep(self) -> None:
        """Write down what is new; a folder that cannot be written only costs time."""
        if not self._changed:
            return
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=".pythons-")
            with os.fdopen(descriptor, "w") as file:
                json.dump(self._known, file)
            Path(name).replace(self._path)


def _stamp(path: Path) -> str:
    """Return what changes when a program is replaced; "" where none can be run."""
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_mtime_ns}-{status.st_size}" if os.access(path, os.X_OK) and path.is_file() else ""


def ask(path: Path) -> Interpreter | None:
    """Return what a program says it is; None where it does not run, or is no CPython."""
    try:
        done = subprocess.run(
            [path, "-I", "-S", "-c", _QUESTION],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PATIENCE,
            check=True,
        )
        implementation, version, executable = json.loads(done.stdout)
        if implementation != "CPython":
            return None
        return Interpreter(path=Path(executable or path), version=Version(version.rstrip("+")))
    except (OSError, subprocess.SubprocessError, ValueError, TypeError, AttributeError):
        return None


def _named(pythons: Iterable[str]) -> Iterator[Path]:
    """Yield the candidates of GRISTMILL_PYTHONS: interpreters, installations, folders of either."""
    for text in pythons:
        path = Path(text).expanduser()
        if path.is_file():
            yield path
            continue
        for folder in (path, path / "bin", *sorted(path.glob("*/bin"), reverse=True)):
            yield from _in_folder(folder)


def _elsewhere(environment: Mapping[str, str]) -> Iterator[Path]:
    home = Path(environment.get("HOME") or "~").expanduser()
    pyenv = Path(environment.get("PYENV_ROOT") or home / ".pyenv")
    for text in environment.get("PATH", "").split(os.pathsep):
        if text and Path(text) != pyenv / "shims":
            yield from _in_folder(Path(text))
    data = Path(environment.get("XDG_DATA_HOME") or home / ".local" / "share")
    uv = Path(environment.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")
    for versions in (pyenv / "versions", uv):
        for folder in sorted(versions.glob("*/bin")):
            yield from _in_folder(folder)
    for prefix in _conda_prefixes(environment, home):
        yield from _in_folder(prefix / "bin")


def _conda_prefixes(environment: Mapping[str, str], home: Path) -> Iterator[Path]:
    """Yield the folders of conda's environments: what conda itself notes of them, without starting it."""
    with contextlib.suppress(OSError, ValueError):
        yield from map(Path, (home / ".conda" / "environments.txt").read_text().split("\n"))
    for name in ("CONDA_EXE", "MAMBA_EXE"):
        if environment.get(name):
            base = Path(environment[name]).parent.parent
            yield from (base, *sorted((base / "envs").glob("*")))
    if environment.get("MAMBA_ROOT_PREFIX"):
        yield from sorted((Path(environment["MAMBA_ROOT_PREFIX"]) / "envs").glob("*"))


def _in_folder(folder: Path) -> Iterator[Path]:
    """Yield the interpreters of a folder of programs, each program once."""
    seen = set()
    for name in _NAMES:
        path = folder / name
        if path.exists():
            real = os.path.realpath(path)
            if real not in seen:
                seen.add(real)
                yield path
