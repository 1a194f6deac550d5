"""Long preparations that may become pointless on the way: the node is to leave, or the job has ended.

A download, or a registry's client, cannot be told to stop. So they run in a thread of their own, which is left to
itself when nobody wants what it makes: it goes with the process, or ends and leaves its yield in the cache.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Final, TypeVar

from gristmill import log_context
from gristmill.errors import GristmillError

#: Seconds between two looks whether something is still wanted.
LOOK_SECONDS: Final = 0.1

#: Seconds in which what is wanted no more may end by itself, as installers do that are killed.
ENDING_SECONDS: Final = 2.0

T = TypeVar("T")


class Abandoned(GristmillError):
    """Nobody wants what was being made: no fault of the job."""


def always() -> bool:
    """Return True: what is made is wanted whatever happens."""
    return True


def abandonable(make: Callable[[], T], wanted: Callable[[], bool]) -> T:
    """Return what `make` returns, or raise what it raises.

    Raises:
        Abandoned: `wanted` has returned False before it was there.

    """
    made: Future[T] = Future()

    def run() -> None:
        try:
            made.set_result(make())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
            made.set_exception(error)

    log_context.Thread(run, name="prepare").start()
    while not _ends(made, LOOK_SECONDS):
        if not wanted():
            _ends(made, ENDING_SECONDS)
            raise Abandoned("given up on the way: the node leaves, or the job has ended")
    if made.exception() is not None and not wanted():
        raise Abandoned("given up on the way: the node leaves, or the job has ended")
    return made.result()


def _ends(made: Future[T], seconds: float) -> bool:
    """Wait for something to be made, or to fail; return whether it did."""
    return bool(wait([made], seconds).done)
