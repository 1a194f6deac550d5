"""How this process's allocator keeps what was freed: no more than it must.

A node frees what it has scored as fast as it takes the next, in a few threads that seldom run at once. glibc gives each
thread a heap of its own, and each keeps what was freed there; and the larger the blocks are that were freed, the more
it keeps. That was a third of what a node's memory grew by in a large job.
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

#: What `mallopt` is told, by its numbers in <malloc.h>: one heap for all threads (M_ARENA_MAX), and how many bytes are
#: free at its end before they are given back (M_TRIM_THRESHOLD), which stays so once it was said. Source: mallopt(3).
_CHOSEN: Final = ((-8, 1), (-1, 128 << 10))


def keep_little() -> None:
    """Share one heap among all threads, and give back what is free at its end; to be called before there are any.

    Other allocators than glibc's stay as they are.
    """
    with contextlib.suppress(AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        for what, value in _CHOSEN:
            mallopt(what, value)
