"""A probe tells a node that works from one that hangs, without asking the server."""

from __future__ import annotations

from pathlib import Path

import pytest

from gristmill.errors import GristmillError
from gristmill.local.pulse import LONGEST_SECONDS, Pulse, look


def written(folder: Path, *, ready: bool = True, leaving: bool = False) -> Path:
    path = folder / "pulse"
    Pulse(at=1000.0, ready=ready, running=2, leaving=leaving).write(path)
    return path


def test_a_node_that_looked_for_work_is_alive(tmp_path: Path) -> None:
    assert look(written(tmp_path), ready=True, now=1001.0).running == 2


def test_a_node_that_looks_no_more_is_not_alive(tmp_path: Path) -> None:
    with pytest.raises(GristmillError, match="not looked for work for 61 s"):
        look(written(tmp_path), ready=False, now=1001.0 + LONGEST_SECONDS)


def test_a_node_that_begins_is_alive_and_not_ready(tmp_path: Path) -> None:
    path = written(tmp_path, ready=False)

    look(path, ready=False, now=1001.0)
    with pytest.raises(GristmillError, match="does not take work yet"):
        look(path, ready=True, now=1001.0)


def test_a_node_that_leaves_is_alive_as_long_as_that_takes(tmp_path: Path) -> None:
    path = written(tmp_path, leaving=True)

    look(path, ready=False, now=1000.0 + 100 * LONGEST_SECONDS)
    with pytest.raises(GristmillError, match="leaves"):
        look(path, ready=True, now=1001.0)


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"at": 1}'])
def test_where_no_pulse_is_no_node_lives(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "pulse"
    if content is not None:
        path.write_text(content)

    with pytest.raises(GristmillError, match="no node has written"):
        look(path, ready=False)


def test_a_pulse_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = written(tmp_path)

    assert list(tmp_path.iterdir()) == [path]
