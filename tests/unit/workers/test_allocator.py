from __future__ import annotations

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest

#: Four threads hold a block each; how many heaps there are then.
HEAPS = """
import ctypes, sys, threading
if sys.argv[2] == "little":
    from gristmill_workers.allocator import keep_little
    keep_little()
held, meeting = [], threading.Barrier(5)
def hold():
    held.append(bytes(50_000))
    meeting.wait()
    meeting.wait()
threads = [threading.Thread(target=hold) for _ in range(4)]
for thread in threads:
    thread.start()
meeting.wait()
libc = ctypes.CDLL(None)
libc.fopen.restype = ctypes.c_void_p
libc.malloc_info.argtypes, libc.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
file = libc.fopen(sys.argv[1].encode(), b"w")
libc.malloc_info(0, file)
libc.fclose(file)
meeting.wait()
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "malloc_info"), reason="another allocator than glibc's")
@pytest.mark.parametrize("kept", ["little", "much"])
def test_threads_have_one_heap_together(tmp_path: Path, kept: str) -> None:
    found = tmp_path / "heaps"
    subprocess.run([sys.executable, "-c", HEAPS, str(found), kept], check=True)

    assert (found.read_text().count("<heap ") == 1) == (kept == "little")
