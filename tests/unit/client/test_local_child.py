from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gristmill.local.child import Child


def start(tmp_path: Path, code: str, **options: Any) -> Child:
    environment = {**os.environ, "COLOUR": "blue"}
    return Child("node", [sys.executable, "-c", code], environment=environment, log=tmp_path / "node.log", **options)


def soon() -> float:
    return time.monotonic() + 10


def test_what_it_prints_is_its_log(tmp_path: Path) -> None:
    child = start(tmp_path, "import os, sys; print(os.environ['COLOUR']); sys.exit('no')")
    child.reap(soon())

    assert child.exit_code == 1
    assert sorted(child.tail().splitlines()) == ["blue", "no"]


def test_a_log_goes_on_where_it_ended(tmp_path: Path) -> None:
    for _ in range(2):
        start(tmp_path, "print(1)").reap(soon())

    assert (tmp_path / "node.log").read_text() == "1\n1\n"


def test_a_long_log_shows_its_last_lines(tmp_path: Path) -> None:
    child = start(tmp_path, "print('\\n'.join(map(str, range(100000))))")
    child.reap(soon())

    assert child.tail().splitlines() == [str(n) for n in range(99970, 100000)]


def test_a_piped_child_is_read_and_written(tmp_path: Path) -> None:
    child = start(tmp_path, "print(input()[::-1])", piped=True)
    child.write(b"abc\n")

    assert child.stdout.read() == b"cba\n"
    child.reap(soon())


def test_a_command_larger_than_a_pipe_arrives_whole(tmp_path: Path) -> None:
    child = start(tmp_path, "print(len(input()))", piped=True)
    child.write(b"x" * 1_000_000 + b"\n")

    assert child.stdout.read() == b"1000000\n"
    child.reap(soon())


def test_writing_to_one_that_is_gone_is_no_error(tmp_path: Path) -> None:
    child = start(tmp_path, "")
    child.reap(soon())
    child.write(b"hello\n")

    assert child.exit_code == 0


def test_release_is_the_end_of_its_stdin(tmp_path: Path) -> None:
    child = start(tmp_path, "import sys; sys.stdin.read(); sys.exit(7)")
    assert child.exit_code is None
    child.release()
    child.reap(soon())

    assert child.exit_code == 7


@pytest.mark.parametrize(
    "code", ["import time; time.sleep(60)", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(60)"]
)
def test_one_that_does_not_leave_in_time_is_killed(tmp_path: Path, code: str) -> None:
    child = start(tmp_path, code)
    child.reap(time.monotonic())

    assert child.exit_code == -9


def test_it_has_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(tmp_path: Path) -> None:
    child = start(tmp_path, "import time; time.sleep(60)")

    assert os.getsid(child.pid) == child.pid != os.getsid(0)
    child.kill()
    child.reap(soon())


def test_it_inherits_no_descriptor_but_those_it_is_given(tmp_path: Path) -> None:
    kept, other = os.open(tmp_path, os.O_RDONLY), os.open(tmp_path, os.O_RDONLY)
    code = f"import os; os.fstat({kept})\ntry: os.fstat({other})\nexcept OSError: print('closed')"
    child = start(tmp_path, code, keep=(kept,))
    child.reap(soon())
    os.close(kept)
    os.close(other)

    assert child.tail() == "closed"
