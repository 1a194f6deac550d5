"""What a trace is made of, in our own words: whoever makes spans, or sends them, knows these and not each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from enum import StrEnum
from typing import Final, Protocol

#: What an attribute may be.
Value = str | int | float | bool
Attributes = Mapping[str, Value]

#: Characters of a message that stand in a span.
MOST_CHARACTERS: Final = 1000


class Kind(StrEnum):
    """What a span is to those of other processes."""

    INTERNAL = "internal"
    #: It answers a request.
    SERVER = "server"
    #: It puts a message into a queue, or works on one.
    PRODUCER = "producer"
    CONSUMER = "consumer"


class Span(Protocol):
    """Something that takes time; safe to use from several threads."""

    @property
    def traceparent(self) -> str:
        """What makes another span its child; "" for none."""

    def put(self, attributes: Attributes) -> None:
        """Add attributes, or change them."""

    def event(self, name: str, attributes: Attributes) -> None:
        """Note what happened within it; of very many only the last are kept."""

    def fail(self, message: str) -> None:
        """Note that it came to no good end."""

    def end(self) -> None:
        """End it, now."""


class Tracer(Protocol):
    """Makes spans."""

    def begin(
        self,
        name: str,
        *,
        kind: Kind,
        parent: str,
        attributes: Attributes,
        links: Sequence[str] = (),
        began: int | None = None,
    ) -> Span:
        """Return a span that has begun: now, or `began` nanoseconds after the epoch.

        Without a `parent` it is a child of the span in which this thread is, if it is in one; `links` are other spans
        that it has to do with.
        """

    def within(self, span: Span) -> AbstractContextManager[object]:
        """Return a context in which this thread, and those that it starts, are in a span."""

    def here(self) -> tuple[str, str] | None:
        """Return the ids of the trace and of the span in which this thread is."""

    def close(self, seconds: float) -> None:
        """Send what was not sent yet, if somebody takes it within that time."""
