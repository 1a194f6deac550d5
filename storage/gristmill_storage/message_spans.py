"""The spans of a message, where it is sent and where it is worked on, in OpenTelemetry's words for messaging."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from gristmill import tracing
from gristmill.spans import Attributes, Kind, Span
from gristmill_storage.messages import Message


@contextmanager
def sending(message: Message, queue: str) -> Iterator[Message]:
    """Be in the span in which a message is put into a queue; yields the message to send, which bears that span."""
    about = _attributes("send", message, queue)
    parent = message.traceparent
    with tracing.span("gristmill.send", kind=Kind.PRODUCER, parent=parent, attributes=about) as span:
        yield replace(message, traceparent=span.traceparent)


@contextmanager
def processing(name: str, message: Message, queue: str) -> Iterator[Span]:
    """Be in the span in which a message is worked on; its parent is that in which it was sent."""
    about = _attributes("process", message, queue)
    with tracing.span(name, kind=Kind.CONSUMER, parent=message.traceparent, attributes=about) as span:
        yield span


def _attributes(operation: str, message: Message, queue: str) -> Attributes:
    return {
        "messaging.system": "celery",
        "messaging.operation.type": operation,
        "messaging.operation.name": operation,
        "messaging.destination.name": queue,
        "gristmill.job": message.job,
        "gristmill.slot": message.slot,
    }
