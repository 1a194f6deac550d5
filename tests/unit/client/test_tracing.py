from __future__ import annotations

import subprocess
import sys
from typing import Any, cast

import pytest

from gristmill import tracing
from gristmill.settings import ProcessSettings
from gristmill.tracing import checked, span

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

#: A process that asks for traces, in some way, and one that cannot import what makes them.
PROCESS = """
import os, sys
{before}
from gristmill import log_lines, tracing
from gristmill.settings import ProcessSettings

settings = ProcessSettings.read()
log_lines.begin("node", settings)
tracing.begin("node", settings)
with tracing.span("gristmill.submit", parent="{parent}") as span:
    print(span.traceparent, tracing.here())
tracing.end()
print(tracing.tracer() is not None, "opentelemetry" in sys.modules)
"""


def asked(before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    code = PROCESS.format(before=before, parent=PARENT)
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)


@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({}, False),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://here:4318"}, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://here:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://here:4318"}, False),
        ({"OTEL_SDK_DISABLED": "TRUE", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://here:4318"}, False),
        ({"OTEL_SERVICE_NAME": "mine", "OTEL_EXPORTER_OTLP_ENDPOINT": ""}, False),
    ],
)
def test_traces_are_made_where_the_standard_variables_ask_for_them(environment: dict[str, str], wanted: bool) -> None:
    assert ProcessSettings.read(environment).traces is wanted


def test_where_nobody_asks_nothing_is_imported_and_a_parent_is_handed_on() -> None:
    ended = asked()

    assert ended.stdout.splitlines() == [f"{PARENT} {{}}", "False False"]
    assert ended.stderr == ""


def test_without_the_extra_a_process_says_so_once_and_works() -> None:
    ended = asked("sys.modules['opentelemetry'] = None", OTEL_TRACES_EXPORTER="otlp")

    assert ended.stdout.splitlines() == [f"{PARENT} {{}}", "False True"]
    assert "no traces are made: opentelemetry is not installed (pip install 'gristmill[otel]')" in ended.stderr


def test_a_span_is_in_the_trace_of_its_parent_and_log_lines_bear_its_ids() -> None:
    """What is made is shown on stderr: stdout is what processes speak to each other on."""
    ended = asked(OTEL_TRACES_EXPORTER="console", OTEL_SERVICE_NAME="mine")
    own, ids = ended.stdout.splitlines()[0].split(" ", 1)

    assert own.split("-")[:2] == PARENT.split("-")[:2]
    assert own != PARENT
    assert own.split("-")[2] in ids
    assert '"name": "gristmill.submit"' in ended.stderr
    assert '"service.name": "mine"' in ended.stderr


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER=zipkin: no traces are made for it; give otlp"),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "give http/protobuf"),
    ],
)
def test_what_cannot_be_sent_is_said_and_no_traces_are_made(
    environment: dict[str, str], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    tracing.begin("node", ProcessSettings.read(environment))

    assert words in caplog.text
    assert tracing.tracer() is None


def test_a_variable_that_holds_nonsense_hurts_nobody(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracing, "_tracer", None)
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "many")
    tracing.begin("node", ProcessSettings.read({"OTEL_TRACES_EXPORTER": "otlp"}))

    assert "no traces are made: ValueError" in caplog.text
    assert tracing.tracer() is None


class Exporter:
    """Takes spans, or not."""

    def __init__(self, *answers: object) -> None:
        self._answers = iter(answers)

    def export(self, spans: object) -> object:
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_that_nobody_takes_spans_is_said_once_and_that_somebody_does_again(caplog: pytest.LogCaptureFixture) -> None:
    from opentelemetry.sdk.trace.export import SpanExportResult

    from gristmill.tracing_spans import _Heard

    caplog.set_level("INFO")
    taken, dropped = SpanExportResult.SUCCESS, SpanExportResult.FAILURE
    heard: Any = _Heard(cast("Any", Exporter(taken, dropped, OSError("no such host"), taken, taken)))

    assert [heard.export([]) for _ in range(5)] == [taken, dropped, dropped, taken, taken]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    assert not heard.unheard


@pytest.mark.parametrize(
    "text", ["", "00-1-2-01", PARENT + "-more", PARENT.upper(), f"00-{'0' * 32}-{'1' * 16}-01", "x" * 9999]
)
def test_what_is_no_traceparent_is_passed_over(text: str) -> None:
    assert checked(text) == ""
    assert checked(f" {PARENT} ") == PARENT


def test_a_span_that_is_none_takes_everything() -> None:
    with span("gristmill.plan", attributes={"a": 1}) as made:
        made.put({"b": 2})
        made.event("c", {})
        made.fail("d")
        made.end()

    assert (made.traceparent, tracing.here(), tracing.tracer()) == ("", {}, None)
