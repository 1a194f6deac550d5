"""Whom a log line is about: ids that all lines of a thread bear, and threads that take them along.

Whoever works for one job says so once, with `about`; every line that is logged below bears the job's name then,
whichever module says it, and so do those of threads that are started there, if they are a `Thread` of this module. A
line of a thread that serves many jobs bears it by `extra=ids(job=...)`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from types import MappingProxyType
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

#: What a line may be about, in the order in which it is shown.
FIELDS: Final = ("job", "instance", "mini_batch", "attempt")

_ABOUT: ContextVar[Mapping[str, str | int]] = ContextVar("gristmill_about", default=MappingProxyType({}))


def ids(
    *, job: str | None = None, instance: str | None = None, mini_batch: int | None = None, attempt: int | None = None
) -> dict[str, str | int]:
    """Return what a line is about, as its `extra`."""
    given = zip(FIELDS, (job, instance, mini_batch, attempt), strict=True)
    return {field: value for field, value in given if value is not None}


@contextmanager
def about(*, job: str | None = None, instance: str | None = None) -> Iterator[None]:
    """Let every line that is logged below be about this, besides what it is about already."""
    token = _ABOUT.set({**_ABOUT.get(), **ids(job=job, instance=instance)})
    try:
        yield
    finally:
        _ABOUT.reset(token)


def of(record: logging.LogRecord) -> dict[str, str | int]:
    """Return what a line is about: its own ids go before those of its thread. To be asked in the thread that logs."""
    found = _ABOUT.get()
    return {
        field: value
        for field in FIELDS
        if (value := getattr(record, field, None)) is not None or (value := found.get(field)) is not None
    }


def current() -> Mapping[str, str | int]:
    """Return what the lines of this thread are about."""
    return _ABOUT.get()


def carried(call: Callable[P, T]) -> Callable[P, T]:
    """Return a function that does the same in another thread, once, with lines about what they are about here."""
    context = copy_context()

    def run(*arguments: P.args, **options: P.kwargs) -> T:
        return context.run(call, *arguments, **options)

    return run


class Thread(threading.Thread):
    """A thread that ends with its process, and whose lines are about what those of its starter are about."""

    def __init__(self, target: Callable[[], object], *, name: str) -> None:
        """Take what it does, and its name."""
        super().__init__(target=target, name=name, daemon=True)

    def start(self) -> None:
        """Start it."""
        self._context = copy_context()
        super().start()

    def run(self) -> None:
        """Do it, in the starter's context."""
        self._context.run(super().run)
