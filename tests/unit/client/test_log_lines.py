from __future__ import annotations

import ast
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import gristmill
from gristmill.log_context import about, ids
from gristmill.log_lines import MOST_CHARACTERS, HumanLines, JsonLines, begin, words
from gristmill.settings import ProcessSettings

ROOT = Path(gristmill.__file__).parents[2]

#: A process that logs as ours do, with what libraries and faults say.
PROCESS = """
import logging, threading, warnings
from gristmill import log_lines
from gristmill.errors import Mistake
from gristmill.settings import ProcessSettings

log_lines.begin("node", ProcessSettings.read())
logging.getLogger("gristmill.node").debug("fine")
logging.getLogger("celery.worker").info("received")
logging.getLogger("botocore.auth").debug("secret")
logging.getLogger("httpx").info("GET")
warnings.warn("old")
log_lines.say(Mistake("not so"))
thread = threading.Thread(target=lambda: 1 / 0)
thread.start()
thread.join()
raise OSError("two\\nlines")
"""


def logged(**environment: str) -> list[str]:
    ended = subprocess.run(
        [sys.executable, "-c", PROCESS], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    return ended.stderr.splitlines()


def one(form: logging.Formatter, text: str = "%s is told", *arguments: object, **more: Any) -> str:
    values = {"msg": text, "args": arguments, "name": "gristmill.node", "levelname": "WARNING", "created": 0.25, **more}
    return form.format(logging.makeLogRecord(values))


def test_a_json_line_says_when_who_what_and_whom_it_is_about() -> None:
    with about(job="left"):
        document = json.loads(one(JsonLines("node", "here"), "%s is told", "it", process=7, **ids(mini_batch=0)))

    assert document == {
        "time": "1970-01-01T00:00:00.250000Z",
        "level": "WARNING",
        "service": "node",
        "logger": "gristmill.node",
        "message": "it is told",
        "job": "left",
        "mini_batch": 0,
        "host": "here",
        "pid": 7,
        "thread": document["thread"],
    }


def test_a_line_for_people_says_whom_it_is_about() -> None:
    with about(job="left", instance="i-1"):
        line = one(HumanLines(), "told", **ids(mini_batch=3))

    assert line.endswith(" WARNING gristmill.node [job=left instance=i-1 mini_batch=3] told")
    assert one(HumanLines(), "told").endswith(" WARNING gristmill.node told")


@pytest.mark.parametrize("text", ["a\nb\r\u2028c", "\x00\x1b[31m", "\udcff", '"}{'])
def test_whatever_is_said_a_json_line_is_one_line(text: str) -> None:
    line = one(JsonLines("node", "here"), "%s", text)

    assert len(line.splitlines()) == 1
    assert line.isascii()
    assert json.loads(line)["message"] == text


def test_a_long_message_and_a_long_stack_are_cut() -> None:
    error = ValueError("x" * 100_000)
    line = one(JsonLines("node", "here"), "y" * 100_000, exc_info=(ValueError, error, None))
    document = json.loads(line)

    assert len(line) < 4 * MOST_CHARACTERS
    assert document["message"].endswith(f"[{100_000 - MOST_CHARACTERS} characters more]")
    assert document["exception.stacktrace"].endswith("xxx")


def test_all_that_a_process_says_is_json_when_that_is_asked_for() -> None:
    found = [json.loads(line) for line in logged(GRISTMILL_LOG_FORMAT="json", GRISTMILL_NODE_NAME="here")]

    assert [(line["logger"], line["level"]) for line in found] == [
        ("celery.worker", "INFO"),
        ("py.warnings", "WARNING"),
        ("gristmill", "CRITICAL"),
        ("gristmill", "CRITICAL"),
        ("gristmill", "CRITICAL"),
    ]
    assert {(line["service"], line["host"]) for line in found} == {("node", "here")}
    assert found[2]["message"] == "not so"
    assert [line["exception.type"] for line in found[3:]] == ["ZeroDivisionError", "OSError"]
    assert found[4]["exception.message"] == "two\nlines"
    assert found[4]["exception.stacktrace"].startswith("Traceback (most recent call last):\n")


def test_a_process_speaks_to_people_unless_it_is_told_otherwise() -> None:
    lines = logged()

    assert lines[0].endswith("INFO celery.worker received")
    assert "error: not so" in lines
    assert lines[-1] == "lines"


def test_debug_is_of_our_own_lines_alone() -> None:
    """What libraries say then is a flood, and holds signatures and keys."""
    lines = logged(GRISTMILL_LOG_LEVEL="debug")

    assert lines[0].endswith("DEBUG gristmill.node fine")
    assert not any("secret" in line for line in lines)
    assert not any("received" in line for line in logged(GRISTMILL_LOG_LEVEL="error"))


def test_what_logs_already_is_left_as_it_is() -> None:
    before = list(logging.root.handlers), logging.getLogger("gristmill").level

    begin("node", ProcessSettings.read({"GRISTMILL_LOG_FORMAT": "json", "GRISTMILL_LOG_LEVEL": "error"}))

    assert (list(logging.root.handlers), logging.getLogger("gristmill").level) == before


@pytest.mark.parametrize(("name", "text"), [("GRISTMILL_LOG_FORMAT", "xml"), ("GRISTMILL_LOG_LEVEL", "loud")])
def test_a_form_that_there_is_not_is_refused_by_name(name: str, text: str) -> None:
    with pytest.raises(gristmill.InvalidSetting, match=f"{name}={text}: give "):
        ProcessSettings.read({name: text})


def test_the_words_of_a_line_are_found_in_either_form() -> None:
    assert words('{"message": "told"}') == "told"
    assert [words(line) for line in ("told", "[]", "{}", "3")] == ["told", "[]", "{}", "3"]


def lines_about_a_job(path: Path) -> list[tuple[str, ast.Call]]:
    """Each line that a module logs about a job that its text names."""
    text = path.read_text()
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno}", node)
        for node in (ast.walk(ast.parse(text)) if "job %s" in text else ())
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in {"debug", "info", "warning", "error", "exception"}
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and "job %s" in str(node.args[0].value)
    ]


#: Modules whose lines are all said in threads that work for one job, below `about(job=...)`.
OF_ONE_JOB = {
    "admission",
    "aggregate",
    "beginning",
    "coordinator",
    "ending",
    "instance",
    "leadership",
    "news",
    "plan",
    "rebuild",
    "reconciler",
    "takeover",
}


def test_a_line_that_names_a_job_where_there_are_many_bears_its_id() -> None:
    bare = [
        where
        for folder in ("client", "storage", "workers", "scheduler")
        for path in (ROOT / folder).rglob("*.py")
        if path.stem not in OF_ONE_JOB
        for where, call in lines_about_a_job(path)
        if not any(keyword.arg == "extra" for keyword in call.keywords)
    ]

    assert bare == [], "give extra=ids(job=...)"


def test_threads_that_work_for_a_job_take_along_what_they_are_about() -> None:
    of_jobs = {"heartbeat", "collector", "abandoning", "leadership", "plan"}
    texts = {
        path.stem: path.read_text()
        for folder in ("workers/gristmill_workers", "scheduler/gristmill_scheduler")
        for path in (ROOT / folder).glob("*.py")
        if path.stem in of_jobs
    }

    assert set(texts) == of_jobs
    assert [name for name, text in texts.items() if "threading.Thread(" in text] == []
    assert [name for name, text in texts.items() if "log_context.Thread(" not in text] == []
