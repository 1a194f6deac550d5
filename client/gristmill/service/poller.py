"""What `begin_...` returns, in MLClient's shape."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")


class Poller(Generic[T]):
    """The end of something begun. The server has done it when it answers, so it is here already."""

    def __init__(self, value: T) -> None:
        """Take what came of it."""
        self._value = value

    def result(self, timeout: float | None = None) -> T:  # noqa: ARG002 - MLClient's argument
        """Return what came of it; there is nothing to wait for."""
        return self._value

    def wait(self, timeout: float | None = None) -> None:
        """Return at once."""

    def done(self) -> bool:
        """Whether it has come to its end: yes."""
        return True

    def status(self) -> str:
        """Return how it ended."""
        return "Succeeded"

    def __repr__(self) -> str:
        """Return what came of it, in short."""
        return f"<Poller: Succeeded, {type(self._value).__name__}>"
