from __future__ import annotations

import json
import os
import platform
import stat
import sys
from pathlib import Path

import pytest

from gristmill.errors import EnvironmentFailed
from gristmill.settings import ProcessSettings
from gristmill_workers.environments.pythons import ask, find_python
from gristmill_workers.environments.versions import ANY_PYTHON, python_wish


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def python(path: Path, version: str, implementation: str = "CPython", executable: str | None = None) -> Path:
    """A program that answers as a Python of this version, and counts how often it was asked."""
    answer = json.dumps([implementation, version, executable or str(path)])
    return program(path, f"echo asked >> {path}.count\necho '{answer}'")


def times_asked(path: Path) -> int:
    count = Path(f"{path}.count")
    return len(count.read_text().splitlines()) if count.exists() else 0


@pytest.fixture
def settings(tmp_path):
    def make(pythons: str = "", **environment) -> ProcessSettings:
        private = {
            "HOME": str(tmp_path / "home"),
            "PATH": str(tmp_path / "bin"),
            "GRISTMILL_CACHE": str(tmp_path / "cache"),
        }
        return ProcessSettings.read({**private, "GRISTMILL_PYTHONS": pythons, **environment})

    return make


def test_a_real_python_says_what_it_is():
    found = ask(Path(sys.executable))
    assert found is not None
    assert str(found.version) == platform.python_version()


@pytest.mark.parametrize("text", ["exit 1", "echo hello", "echo '[1]'", 'echo \'["CPython", "no version", "/x"]\''])
def test_what_does_not_answer_as_a_python_is_none(tmp_path, text):
    assert ask(program(tmp_path / "python", text)) is None


def test_pypy_is_no_choice(tmp_path):
    assert ask(python(tmp_path / "python", "3.8.16", "PyPy")) is None


def test_path_is_searched_and_a_name_proves_nothing(tmp_path, settings):
    python(tmp_path / "bin" / "python3.8", "3.77.1")
    right = python(tmp_path / "bin" / "python3", "3.8.18")
    program(tmp_path / "bin" / "python", "exit 127")
    assert find_python(python_wish("=3.8.5", "x"), settings()).path == right


@pytest.mark.parametrize(
    ("place", "variables"),
    [
        ("home/.pyenv/versions/3.8.18/bin/python3.8", {}),
        ("pyenv/versions/mine/bin/python", {"PYENV_ROOT": "pyenv"}),
        ("home/.local/share/uv/python/cpython-3.8/bin/python3", {}),
        ("uv/cpython-3.8/bin/python3.8", {"UV_PYTHON_INSTALL_DIR": "uv"}),
        ("conda/envs/old/bin/python", {"CONDA_EXE": "conda/bin/conda"}),
        ("mamba/envs/old/bin/python", {"MAMBA_ROOT_PREFIX": "mamba"}),
    ],
)
def test_version_folders_are_searched(tmp_path, settings, place, variables):
    expected = python(tmp_path / place, "3.8.18")
    found = find_python(
        python_wish("=3.8", "x"), settings(**{name: str(tmp_path / path) for name, path in variables.items()})
    )
    assert found.path == expected


def test_condas_own_list_of_environments_is_read(tmp_path, settings):
    expected = python(tmp_path / "somewhere" / "bin" / "python", "3.8.18")
    (tmp_path / "home" / ".conda").mkdir(parents=True)
    (tmp_path / "home" / ".conda" / "environments.txt").write_text(f"{tmp_path / 'somewhere'}\n")
    assert find_python(python_wish("=3.8", "x"), settings()).path == expected


def test_pyenvs_shims_are_not_run_and_other_shims_are_seen_through(tmp_path, settings):
    shim = python(tmp_path / "home" / ".pyenv" / "shims" / "python3.8", "3.8.1")
    real = python(tmp_path / "real" / "python", "3.8.2")
    python(tmp_path / "bin" / "python3.8", "3.8.2", executable=str(real))
    found = find_python(python_wish("=3.8", "x"), settings(PATH=f"{shim.parent}:{tmp_path / 'bin'}"))
    assert found.path == real
    assert times_asked(shim) == 0


def test_what_gristmill_pythons_names_comes_first(tmp_path, settings):
    python(tmp_path / "bin" / "python3.8", "3.8.20")
    file = python(tmp_path / "a" / "my-python", "3.8.1")
    folder = python(tmp_path / "versions" / "x" / "bin" / "python", "3.9.1")
    both = settings(f"{file}:{tmp_path / 'versions'}")
    assert find_python(python_wish("=3.8.20", "x"), both).path == file
    assert find_python(python_wish("=3.9", "x"), both).path == folder
    assert (
        find_python(python_wish("=3.8", "x"), settings(str(tmp_path / "gone"))).path == tmp_path / "bin" / "python3.8"
    )


def test_the_exact_version_comes_first_then_the_workers_own_then_the_newest(tmp_path, settings):
    exact = python(tmp_path / "home" / ".pyenv" / "versions" / "a" / "bin" / "python", "3.8.5")
    python(tmp_path / "home" / ".pyenv" / "versions" / "b" / "bin" / "python", "3.8.18")
    newest = python(tmp_path / "home" / ".pyenv" / "versions" / "c" / "bin" / "python", "3.10.1")
    assert find_python(python_wish("=3.8.5", "x"), settings()).path == exact
    assert find_python(ANY_PYTHON, settings()).path == Path(sys.executable)
    assert find_python(python_wish("<3.11", "x"), settings()).path == newest


def test_a_second_search_asks_nobody(tmp_path, settings):
    asked = python(tmp_path / "bin" / "python3.8", "3.8.18")
    for _ in range(2):
        find_python(python_wish("=3.8", "x"), settings())
    assert times_asked(asked) == 1


def test_a_replaced_python_is_asked_again(tmp_path, settings):
    path = python(tmp_path / "bin" / "python3.8", "3.8.18")
    find_python(python_wish("=3.8", "x"), settings())
    python(path, "3.8.20")
    os.utime(path, ns=(1, 1))
    assert str(find_python(python_wish("=3.8", "x"), settings()).version) == "3.8.20"
    path.unlink()
    with pytest.raises(EnvironmentFailed):
        find_python(python_wish("=3.8", "x"), settings())


@pytest.mark.parametrize("text", ["", "[]", '{"x": 1}', "no json"])
def test_a_damaged_file_of_answers_is_of_no_account(tmp_path, settings, text):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "pythons.json").write_text(text)
    assert find_python(ANY_PYTHON, settings()).path == Path(sys.executable)


def test_none_found_says_what_is_here_and_what_can_be_done(tmp_path, settings):
    python(tmp_path / "bin" / "python3.9", "3.9.1")
    with pytest.raises(EnvironmentFailed) as raised:
        find_python(python_wish("=3.8.5", "x"), settings())
    message = raised.value.message
    assert "python=3.8.5 is asked for and this machine has 3.9.1, " in message
    for way in ("uv python install 3.8'", "GRISTMILL_PYTHONS", "loosen python=", "--env inherit"):
        assert way in message


def test_a_python_too_old_for_scorers_is_refused_even_if_it_is_here(tmp_path, settings):
    python(tmp_path / "bin" / "python3", "3.7.16")
    with pytest.raises(EnvironmentFailed, match=r"python=3.7 is asked for, and scorers run on Python 3.8 or newer"):
        find_python(python_wish("=3.7", "x"), settings())
