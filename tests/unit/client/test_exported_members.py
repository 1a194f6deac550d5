from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

import gristmill

ROOT = Path(__file__).parents[3]


def test_the_public_list_is_sorted() -> None:
    assert gristmill.__all__ == sorted(gristmill.__all__)


def test_the_public_list_is_complete() -> None:
    for name in gristmill.__all__:
        getattr(gristmill, name)
    ours = {
        name
        for name, value in vars(gristmill).items()
        if not name.startswith("_")
        and not isinstance(value, ModuleType)
        and getattr(value, "__module__", "").startswith("gristmill")
    }

    assert {*ours, "__version__"} == set(gristmill.__all__)


def test_the_public_list_is_what_dir_shows() -> None:
    assert set(gristmill.__all__) <= set(dir(gristmill))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'gristmill' has no attribute 'walk'"):
        gristmill.walk  # noqa: B018


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert gristmill.__version__ == project["version"]


@pytest.mark.parametrize("code", ["import gristmill", "import gristmill; gristmill.run, gristmill.Job"])
def test_importing_gristmill_imports_nothing_heavy(code: str) -> None:
    heavy = (
        "{'yaml', 'pydantic', 'rich', 'jmespath', 'httpx', 'celery', 'redis', 'fsspec', 'pandas', 'numpy', "
        "'mlflow', 'torch'}"
    )
    check = f"{code}\nimport sys; print(sorted({heavy} & set(sys.modules)))"

    assert subprocess.check_output([sys.executable, "-c", check], text=True) == "[]\n"


def test_importing_gristmill_leaves_the_front_door_shut_for_other_processes() -> None:
    check = "import gristmill.spec, sys; print('gristmill.api' in sys.modules)"

    assert subprocess.check_output([sys.executable, "-c", check], text=True) == "False\n"
