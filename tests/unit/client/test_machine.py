from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gristmill import machine


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    machine.machine_id.cache_clear()
    yield
    machine.machine_id.cache_clear()


def test_another_process_of_this_machine_has_the_same_id() -> None:
    code = "from gristmill.machine import machine_id; print(machine_id())"

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == machine.machine_id()


def test_the_id_does_not_show_what_it_is_made_of() -> None:
    assert re.fullmatch("[0-9a-f]{64}|", machine.machine_id())


def test_another_boot_is_another_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "boot").write_text("one\n")
    monkeypatch.setattr(machine, "_MARKS", (str(tmp_path / "boot"),))
    first = machine.machine_id()
    (tmp_path / "boot").write_text("two\n")
    machine.machine_id.cache_clear()

    assert machine.machine_id() not in {first, ""}


def test_without_marks_no_machine_is_the_same_as_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "_MARKS", (str(tmp_path / "none"),))

    assert machine.machine_id() == ""
