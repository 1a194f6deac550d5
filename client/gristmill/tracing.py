"""Traces of jobs, where OpenTelemetry's standard variables ask for them; nothing of it is imported where they do not.

    gristmill.submit                      a job was asked for: the root, or a child of the caller's span
      gristmill.plan                      its input was listed
      gristmill.send -> gristmill.instance         a message asked for an instance, and a node became one
        gristmill.prepare                 model and environment were made ready
        gristmill.lease -> gristmill.run  a range of mini-batches was leased, and scored
        gristmill.commit                  what was scored was made durable and told to the ledger
      gristmill.send -> gristmill.aggregate        a message asked for the results to be merged, and that was done

What one process hands another is a `traceparent` (W3C Trace Context): in the request, in the job, in each message.
Spans are sent by a thread of their own, which may lose some; nothing ever waits for it but the process's end, shortly.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from gristmill.settings import ProcessSettings
from gristmill.spans import Attributes, Kind, Span, Tracer

#: Seconds that a process waits at its end for its last spans to be sent.
END_SECONDS: Final = 0.5

_TRACEPARENT: Final = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

log = logging.getLogger("gristmill.tracing")


@dataclass(frozen=True, slots=True)
class _Nothing:
    """A span where no traces are made: it hands on what it was given."""

    traceparent: str = ""

    def put(self, attributes: Attributes) -> None:
        """Do nothing."""

    def event(self, name: str, attributes: Attributes) -> None:
        """Do nothing."""

    def fail(self, message: str) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


NO_SPAN: Final[Span] = _Nothing()

#: None: no traces are made by this process.
_tracer: Tracer | None = None


def begin(service: str, settings: ProcessSettings) -> None:
    """Make traces from now on, if the settings ask for them; `service` is which kind of process this is."""
    global _tracer  # noqa: PLW0603 - as with logging, a process has one
    if not settings.traces or _tracer is not None:
        return
    try:
        # An extra, and costly to import.
        from gristmill.tracing_spans import make_tracer  # noqa: PLC0415

        _tracer = make_tracer(service, settings)
    except ImportError as error:
        log.warning("no traces are made: %s is not installed (pip install 'gristmill[otel]')", error.name)
    except Exception as error:  # noqa: BLE001 - some variable of OpenTelemetry's holds nonsense
        log.warning("no traces are made: %s: %s", type(error).__name__, error)


def tracer() -> Tracer | None:
    """Return what makes spans, for who would make many; None where no traces are made."""
    return _tracer


@contextmanager
def span(
    name: str, *, kind: Kind = Kind.INTERNAL, parent: str = "", attributes: Attributes | None = None
) -> Iterator[Span]:
    """Be in a span; an exception that leaves it is noted in it. `parent` is a traceparent; "": that of the thread."""
    if _tracer is None:
        yield _Nothing(parent)
        return
    made = _tracer.begin(name, kind=kind, parent=parent, attributes=attributes or {})
    try:
        with _tracer.within(made):
            yield made
    except BaseException as error:
        made.fail(f"{type(error).__name__}: {error}")
        raise
    finally:
        made.end()


def here() -> dict[str, str]:
    """Return the ids of the span in which this thread is, as its log lines bear them."""
    found = _tracer.here() if _tracer is not None else None
    return {} if found is None else {"trace_id": found[0], "span_id": found[1]}


def end(seconds: float = END_SECONDS) -> None:
    """Send the last spans: the process is about to end."""
    if _tracer is not None:
        _tracer.close(seconds)


def checked(header: str) -> str:
    """Return what a request gave as its traceparent if it is one, else ""; as the standard has it."""
    text = header.strip()
    return text if _TRACEPARENT.fullmatch(text) else ""
