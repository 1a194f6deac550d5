"""The no-code scorer in the environments that old deployments bring: Python 3.8 with MLflow 1.27 and 2.9.

The environment is made by uv; without a Python 3.8, or with no way to the packages, there is nothing to prove.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gristmill_workers import scorer

PROBE = Path(__file__).with_name("old_python_probe.py")
UV = shutil.which("uv", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))
#: Both MLflows import pkg_resources, which uv puts into no environment by itself.
SHARED = ["setuptools<70", "scikit-learn==1.1.3", "pyarrow", "pillow"]
OLDEST = ["mlflow-skinny==1.27.0", "pandas==1.5.3"]
OLD = ["mlflow-skinny==2.9.2", "pandas==2.0.3"]


def python38() -> str | None:
    """Find an installed Python 3.8: on PATH, or in pyenv's folder, where uv does not look."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    candidates = [shutil.which("python3.8"), *map(str, sorted(pyenv.glob("versions/3.8.*/bin/python")))]
    return next((candidate for candidate in candidates if candidate and runs(candidate)), None)


def runs(python: str) -> bool:
    """A shim of pyenv may be there and refuse."""
    return subprocess.run([python, "-c", ""], capture_output=True, check=False).returncode == 0


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    # uv does not read pip's settings.
    environment = {
        **os.environ,
        "UV_FIND_LINKS": os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS", ""),
    }
    return subprocess.run([UV or "uv", *arguments], env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """One environment for both MLflows, one after the other: half the time."""
    old = python38()
    if old is None or UV is None:
        pytest.skip("no Python 3.8, or no uv")
    folder = tmp_path_factory.mktemp("old") / "venv"
    uv("venv", "--quiet", "--python", old, str(folder))
    yield str(folder / "bin" / "python")
    shutil.rmtree(folder)


@pytest.fixture(scope="module", params=[OLDEST, OLD], ids=["mlflow-1.27", "mlflow-2.9"])
def found(request, python, tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe")
    packages = [*SHARED, *request.param]
    installed = uv("pip", "install", "--quiet", "--only-binary=:all:", "--python", python, *packages)
    if installed.returncode:
        pytest.skip(f"packages cannot be had: {installed.stderr.strip()[-300:]}")
    (folder / "work").mkdir()
    scorer_folder = str(Path(scorer.__file__).parent)
    command = [python, "-B", str(PROBE), scorer_folder, str(folder / "work")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_nothing_of_the_old_world_is_in_the_way(found):
    assert found["versions"]["python"] == [3, 8]
    expected = [[row, 2.0 * a + b] for row, (a, b) in enumerate(zip(range(1, 6), range(5, 0, -1), strict=True))]

    table = found["table"]
    assert table["columns"] == ["row", "prediction", "file_name"]
    assert table["rows"] == [[*row, name] for name in ("good.csv", "good.parquet") for row in expected]
    assert table["succeeded"] == 2
    unreadable, unsupported = table["errors"]
    assert unreadable["message"].endswith("bad.csv'. Exception: invalid literal for int() with base 10: 'value'")
    assert unsupported["message"].endswith("other.avro'. File type 'avro' is not supported")
    assert (unreadable["category"], unsupported["category"]) == ("unreadable", "unsupported")

    assert found["chunks"]["rows"] == table["rows"]
    assert [error["file"] for error in found["chunks"]["errors"]] == ["bad.csv"]

    assert found["images"]["columns"] == ["row", "sum", "call", "file_name"]
    assert found["images"]["rows"] == [[0, 16.0 * n, 1, f"{n}.png"] for n in range(3)]
    assert found["stack"]["rows"] == [[0, 16.0 * n, 3, f"{n}.png"] for n in range(3)]
    assert "does not fit the model's tensor float32 (-1, 16)" in found["unfit"]["errors"][0]["message"]
    # 16 bits as 8: the high bytes are 0, 1, 2 and 255, whatever this Pillow calls the mode.
    assert found["plain"]["rows"] == [[0, 258, 1, "deep.png"]]
