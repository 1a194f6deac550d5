"""The one module that knows OpenTelemetry: makes spans, and has them sent as its standard variables say.

A tracer provider of our own, not the process's: what libraries (or MLflow) trace is no business of a job's trace.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter, SpanExportResult
from opentelemetry.trace import Link, SpanContext, Status, StatusCode, TraceFlags

import gristmill
from gristmill.settings import ProcessSettings
from gristmill.spans import MOST_CHARACTERS, Attributes, Kind, Span, Tracer

#: Milliseconds that spans are gathered before they are sent, unless OTEL_BSP_SCHEDULE_DELAY says.
_DELAY: Final = 1000

_KINDS: Final[Mapping[Kind, trace.SpanKind]] = {
    Kind.INTERNAL: trace.SpanKind.INTERNAL,
    Kind.SERVER: trace.SpanKind.SERVER,
    Kind.PRODUCER: trace.SpanKind.PRODUCER,
    Kind.CONSUMER: trace.SpanKind.CONSUMER,
}

log = logging.getLogger("gristmill.tracing")


def make_tracer(service: str, settings: ProcessSettings) -> Tracer | None:
    """Return what makes spans; None, with a warning, where the variables ask for what there is not."""
    exporters = list(_exporters(settings.environment))
    if not exporters:
        return None
    # What it has to say is said here, once.
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    provider = TracerProvider(resource=_resource(service, settings), shutdown_on_exit=False)
    delay = None if settings.environment.get("OTEL_BSP_SCHEDULE_DELAY") else _DELAY
    for exporter in exporters:
        provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=delay))
    return _Spans(provider, exporters)


def _exporters(environment: Mapping[str, str]) -> Iterator[_Heard]:
    """Yield what sends spans, as OTEL_TRACES_EXPORTER says."""
    protocol = environment.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or environment.get("OTEL_EXPORTER_OTLP_PROTOCOL")
    for name in (environment.get("OTEL_TRACES_EXPORTER") or "otlp").split(","):
        if name.strip() == "console":
            yield _Heard(ConsoleSpanExporter(out=sys.stderr))
        elif name.strip() != "otlp":
            log.warning("OTEL_TRACES_EXPORTER=%s: no traces are made for it; give otlp, console or none", name)
        elif protocol not in (None, "", "http/protobuf"):
            log.warning("OTEL_EXPORTER_OTLP_PROTOCOL=%s: no traces are made; give http/protobuf", protocol)
        else:
            yield _Heard(OTLPSpanExporter())


def _resource(service: str, settings: ProcessSettings) -> Resource:
    """Return what tells of this process; OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before what we say."""
    said = Resource.create()
    ours: dict[str, str | int] = {
        "service.namespace": "gristmill",
        "service.version": gristmill.__version__,
        "host.name": settings.node_name,
        "process.pid": os.getpid(),
    }
    whole = Resource({**ours}).merge(said)
    if str(whole.attributes.get(SERVICE_NAME, "unknown_service")).startswith("unknown_service"):
        whole = whole.merge(Resource({SERVICE_NAME: f"gristmill-{service}"}))
    return whole


class _Heard(SpanExporter):
    """Sends spans, and says once when nobody takes them, and when somebody does again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        #: Whether the last spans were not taken.
        self.unheard = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send spans."""
        try:
            result = self._exporter.export(spans)
        except Exception:  # noqa: BLE001 - an address that is none, or what an exporter of somebody's may raise
            result = SpanExportResult.FAILURE
        unheard = result is not SpanExportResult.SUCCESS
        if unheard and not self.unheard:
            log.warning("traces are dropped: nobody takes them where OTEL_EXPORTER_OTLP_ENDPOINT says")
        elif self.unheard and not unheard:
            log.info("traces are taken again")
        self.unheard = unheard
        return result

    def shutdown(self) -> None:
        """Send nothing any more."""
        self._exporter.shutdown()


class _Spans:
    """Makes spans of one process."""

    def __init__(self, provider: TracerProvider, exporters: Sequence[_Heard]) -> None:
        self._provider = provider
        self._exporters = exporters
        self._tracer = provider.get_tracer("gristmill", gristmill.__version__)

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
        """Return a span that has begun."""
        linked = [Link(context) for text in links if (context := _context(text)) is not None]
        return _Span(
            self._tracer.start_span(
                name,
                context=_within(parent),
                kind=_KINDS[kind],
                attributes=dict(attributes),
                links=linked,
                start_time=began,
            )
        )

    def within(self, span: Span) -> AbstractContextManager[object]:
        """Return a context in which this thread is in a span."""
        assert isinstance(span, _Span)
        return trace.use_span(span.span, end_on_exit=False, record_exception=False, set_status_on_exception=False)

    def here(self) -> tuple[str, str] | None:
        """Return the ids of the span in which this thread is."""
        context = trace.get_current_span().get_span_context()
        return (f"{context.trace_id:032x}", f"{context.span_id:016x}") if context.is_valid else None

    def close(self, seconds: float) -> None:
        """Send what was not sent yet, in that time; where nobody took the last ones, they are dropped at once."""
        if all(exporter.unheard for exporter in self._exporters):
            return
        _try_for(seconds, lambda: self._provider.force_flush())  # noqa: PLW0108 - what it returns is of no use


class _Span:
    """A span of OpenTelemetry's."""

    def __init__(self, span: trace.Span) -> None:
        self.span = span

    @property
    def traceparent(self) -> str:
        """What makes another span its child."""
        context = self.span.get_span_context()
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"

    def put(self, attributes: Attributes) -> None:
        """Add attributes."""
        self.span.set_attributes(dict(attributes))

    def event(self, name: str, attributes: Attributes) -> None:
        """Note what happened."""
        self.span.add_event(name, dict(attributes))

    def fail(self, message: str) -> None:
        """Note that it came to no good end."""
        self.span.set_status(Status(StatusCode.ERROR, message[:MOST_CHARACTERS]))

    def end(self) -> None:
        """End it."""
        self.span.end()


def _context(text: str) -> SpanContext | None:
    """Return the span that a traceparent names."""
    try:
        _, of_trace, of_span, flags = text.split("-")
        found = SpanContext(int(of_trace, 16), int(of_span, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    except ValueError:
        return None
    return found if found.is_valid else None


def _within(parent: str) -> Context | None:
    """Return the context of a span's child; None: that of this thread."""
    context = _context(parent)
    return None if context is None else trace.set_span_in_context(trace.NonRecordingSpan(context), Context())


def _try_for(seconds: float, act: Callable[[], object]) -> None:
    thread = threading.Thread(target=act, name="last spans", daemon=True)
    thread.start()
    thread.join(seconds)
