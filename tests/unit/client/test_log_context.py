from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest

from gristmill import log_context
from gristmill.log_context import about, carried, ids

log = logging.getLogger("gristmill.test")


def record(**extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"msg": "a line"})
    vars(made).update(extra)
    return made


def test_a_line_is_about_what_its_thread_works_for() -> None:
    with about(job="left"), about(instance="i-1"):
        assert log_context.of(record()) == {"job": "left", "instance": "i-1"}
    assert log_context.of(record()) == {}


def test_its_own_ids_go_before_those_of_its_thread() -> None:
    with about(job="left"):
        found = log_context.of(record(**ids(job="right", mini_batch=0, attempt=2)))

    assert found == {"job": "right", "mini_batch": 0, "attempt": 2}


def test_ids_are_an_extra_that_logging_takes(caplog: pytest.LogCaptureFixture) -> None:
    log.warning("told", extra=ids(job="left", instance="i-1", mini_batch=3, attempt=1))

    assert log_context.of(caplog.records[0]) == {"job": "left", "instance": "i-1", "mini_batch": 3, "attempt": 1}


def test_a_thread_is_about_what_its_starter_was_about_when_it_was_started() -> None:
    found: list[dict[str, str | int]] = []
    with about(job="made"):
        thread = log_context.Thread(lambda: found.append(log_context.of(record())), name="told")
    with about(job="started"):
        thread.start()
    thread.join(10)

    assert found == [{"job": "started"}]
    assert thread.daemon
    assert thread.name == "told"


def test_a_call_in_a_pool_is_about_what_its_asker_is_about() -> None:
    with ThreadPoolExecutor(1) as pool:
        with about(job="left"):
            first = pool.submit(carried(lambda more: {**log_context.of(record()), **more}), {"more": 1})
        second = pool.submit(lambda: log_context.of(record()))

        assert first.result(10) == {"job": "left", "more": 1}
        assert second.result(10) == {}
