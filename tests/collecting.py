"""A collector of traces: takes what OpenTelemetry's exporters send over HTTP, and tells which spans it was."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True, kw_only=True)
class Collected:
    """A span as it arrived."""

    name: str
    trace: str
    id: str
    #: "": it is a root.
    parent: str
    kind: int
    #: Nanoseconds after the epoch.
    began: int
    ended: int
    attributes: Mapping[str, Any]
    events: tuple[Mapping[str, Any], ...]
    links: frozenset[str]
    #: What went wrong; None: nothing.
    error: str | None
    resource: Mapping[str, Any]


class Collector(AbstractContextManager["Collector"]):
    """Listens on this machine, in a thread of its own."""

    def __init__(self) -> None:
        self.spans: list[Collected] = []
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["Content-Length"]))
                collector.take(self.path, gzip.decompress(data) if self.headers["Content-Encoding"] == "gzip" else data)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        #: What OTEL_EXPORTER_OTLP_ENDPOINT is set to.
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def take(self, path: str, data: bytes) -> None:
        assert path == "/v1/traces"
        for sent in ExportTraceServiceRequest.FromString(data).resource_spans:
            resource = _attributes(sent.resource.attributes)
            self.spans += [_collected(span, resource) for scope in sent.scope_spans for span in scope.spans]

    def until(self, holds: Callable[[list[Collected]], bool], seconds: float = 30.0) -> list[Collected]:
        """Wait until it holds of all spans, and return them."""
        deadline = time.monotonic() + seconds
        while not holds(list(self.spans)):
            assert time.monotonic() < deadline, sorted(span.name for span in self.spans)
            time.sleep(0.05)
        return list(self.spans)


def _attributes(given: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in given}


def _collected(span: Any, resource: Mapping[str, Any]) -> Collected:
    return Collected(
        name=span.name,
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        kind=span.kind,
        began=span.start_time_unix_nano,
        ended=span.end_time_unix_nano,
        attributes=_attributes(span.attributes),
        events=tuple({"name": event.name, **_attributes(event.attributes)} for event in span.events),
        links=frozenset(link.span_id.hex() for link in span.links),
        error=span.status.message if span.status.code == 2 else None,  # ERROR
        resource=resource,
    )
