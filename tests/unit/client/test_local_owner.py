from __future__ import annotations

import subprocess
import sys
import time

import pytest

OWNED = """
import sys, time
from gristmill.local import owner
owner.end_with_owner()
{allow}
print("here", flush=True)
deadline = time.monotonic() + 30
while time.monotonic() < deadline: pass
"""


def owned(allow: str = "") -> subprocess.Popen[bytes]:
    code = OWNED.format(allow=allow)
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"here\n"
    return process


@pytest.mark.parametrize("unread", [b"", b"an order that nobody reads\n"])
def test_a_busy_process_ends_with_its_owner(unread: bytes) -> None:
    process = owned()
    process.communicate(unread, timeout=10)

    assert process.returncode == 0


def test_it_stays_as_long_as_its_owner() -> None:
    process = owned()
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    process.communicate(timeout=10)


def test_it_is_given_time_to_leave_in_order() -> None:
    process = owned("owner.allow(1.0)")
    began = time.monotonic()
    process.communicate(timeout=10)

    assert time.monotonic() - began >= 1.0
    assert process.returncode == 0


def test_without_an_owner_there_is_nothing_to_wait_for() -> None:
    code = "from gristmill.local import owner; owner.end_with_owner(); print('stays')"
    done = subprocess.run(
        [sys.executable, "-c", code], stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=True
    )

    assert done.stdout == b"stays\n"
