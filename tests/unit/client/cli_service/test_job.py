"""`gristmill job ... --name`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest

from gristmill.errors import JobNotFound
from gristmill.service import ServiceJob
from gristmill.service.events import Event

JOB: dict[str, Any] = {
    "name": "digits-1",
    "status": "Running",
    "detail": "",
    "endpoint_name": "mnist",
    "deployment_name": "blue",
    "items": {"succeeded": 3, "failed": 1},
    "submitted": "2026-11-21T10:00:00Z",
    "services": {"Studio": {"endpoint": "http://server/jobs/digits-1"}},
    "error": None,
}
FAILED = {**JOB, "status": "Failed", "error": {"class": "InitFailed", "message": "init() failed", "detail": ""}}


def test_show_prints_the_document(run: Any, service: Any) -> None:
    service.answers["jobs.get"] = JOB

    assert run("job", "show", "-n", "digits-1").document == JOB
    assert run("job", "show", "--name", "digits-1", "--query", "status", "-o", "tsv").out == "Running\n"
    assert run("job", "show", "-n", "digits-1", "-g", "rg", "-w", "ws", "--output", "table").out.splitlines()[
        2
    ].split() == [
        "digits-1",
        "Running",
        "mnist",
        "blue",
        "2026-11-21T10:00:00Z",
    ]
    assert service.calls[0] == ("jobs.get", {"name": "digits-1"})


def test_web_says_where_a_browser_finds_it(run: Any, service: Any) -> None:
    service.answers["jobs.get"] = JOB
    ran = run("job", "show", "-n", "digits-1", "--web")

    assert ran.err == "Web View: http://server/jobs/digits-1\n"
    assert ran.document == JOB


def test_web_opens_a_browser_on_a_terminal(run: Any, service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    service.answers["jobs.get"] = JOB
    monkeypatch.setattr("webbrowser.open", opened.append)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    run("job", "show", "-n", "digits-1", "--web")

    assert opened == ["http://server/jobs/digits-1"]


@pytest.mark.parametrize("word", ["show", "verify", "cancel", "pause", "unpause", "resume", "retry-failed"])
def test_a_path_and_a_name_exclude_each_other(run: Any, word: str) -> None:
    both, none = run("job", word, "scores/", "-n", "digits-1"), run("job", word)

    assert (both.code, none.code) == (2, 2)
    assert both.err == "error: scores/ and --name digits-1: PATH is a job here, --name one of a server; give one\n"
    assert none.err == "error: say which job: PATH for one here, --name for one of a server\n"


def test_web_is_for_a_servers_jobs(run: Any) -> None:
    assert "give --name" in run("job", "show", "scores/", "--web").err


@pytest.mark.parametrize(
    ("word", "operation"),
    [("pause", "pause"), ("unpause", "unpause"), ("resume", "resume"), ("retry-failed", "retry_failed")],
)
def test_wishes_are_passed_on(run: Any, service: Any, word: str, operation: str) -> None:
    service.answers[f"jobs.{operation}"] = JOB

    assert run("job", word, "-n", "digits-1", "--query", "name", "-o", "tsv").out == "digits-1\n"
    assert service.calls == [(f"jobs.{operation}", {"name": "digits-1"})]


def test_cancel_waits_for_the_end(run: Any, service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gristmill.cli.job_server._LOOK_SECONDS", 0.0)
    service.answers |= {"jobs.cancel": JOB, "jobs.get": {**JOB, "status": "Canceled"}}
    ran = run("job", "cancel", "-n", "digits-1", "--keep-partial")

    assert ran.document["status"] == "Canceled"
    assert [word for word, _ in service.calls] == ["jobs.cancel", "jobs.get"]
    assert service.calls[0][1] == {"name": "digits-1", "keep_partial": True}


def test_cancel_need_not_wait(run: Any, service: Any) -> None:
    service.answers["jobs.cancel"] = JOB

    assert run("job", "cancel", "-n", "digits-1", "--no-wait").document["status"] == "Running"


def test_a_job_that_does_not_end_in_time_is_an_error(run: Any, service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gristmill.cli.job_server._WAIT_SECONDS", -1.0)
    service.answers["jobs.cancel"] = JOB

    assert run("job", "cancel", "-n", "digits-1").code == 1


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 1)])
def test_verify_tells_what_it_found(run: Any, service: Any, ok: bool, code: int) -> None:
    found = {"job": "digits-1", "ok": ok, "checked": {"files": 3}, "faults": [] if ok else ["a is missing"]}
    service.answers["jobs.verify"] = found
    ran = run("job", "verify", "-n", "digits-1")

    assert ran.code == code
    assert ran.out.startswith("digits-1: everything is in its place\n" if ok else "digits-1: 1 fault\n  a is missing\n")
    assert run("job", "verify", "-n", "digits-1", "-o", "json").document == found


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("", {"parent_job_name": None, "list_view_type": "ACTIVE_ONLY", "max_results": 50}),
        ("-p digits-1 -r 3", {"parent_job_name": "digits-1", "list_view_type": "ACTIVE_ONLY", "max_results": 3}),
        (
            "--parent-job-name a --max-results 3 --archived-only",
            {"parent_job_name": "a", "list_view_type": "ARCHIVED_ONLY", "max_results": 3},
        ),
        ("--all-results --include-archived", {"parent_job_name": None, "list_view_type": "ALL", "max_results": None}),
        ("--all-results false", {"parent_job_name": None, "list_view_type": "ACTIVE_ONLY", "max_results": 50}),
    ],
)
def test_list(does: Any, service: Any, words: str, given: dict[str, Any]) -> None:
    service.answers["jobs.list"] = [JOB]

    assert does(f"job list {words}") == [("jobs.list", given)]


def test_the_names_of_a_list(run: Any, service: Any) -> None:
    service.answers["jobs.list"] = [JOB, {**JOB, "name": "b"}]

    assert run("job", "list", "--query", "[0].name").out == '"digits-1"\n'
    assert run("job", "list", "--query", "[].name", "-o", "tsv").out == "digits-1\nb\n"
    assert run("job", "list", "--archived-only", "--include-archived").code == 2
    assert "maybe: give true or false" in run("job", "list", "--all-results", "maybe").err


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("--output-name score", {"download_path": ".", "output_name": "score", "all": False}),
        ("--output-name score --download-path ./", {"download_path": "./", "output_name": "score", "all": False}),
        ("--all -p there", {"download_path": "there", "output_name": None, "all": True}),
        ("", {"download_path": ".", "output_name": None, "all": False}),
    ],
)
def test_download(run: Any, service: Any, words: str, given: dict[str, Any]) -> None:
    service.answers["jobs.download"] = "there"
    ran = run("job", "download", "--name", "digits-1", *words.split())

    assert (ran.code, ran.out, ran.err) == (0, "", "downloaded to there\n")
    assert service.calls == [("jobs.download", {"name": "digits-1", **given})]


def test_all_and_one_output_exclude_each_other(run: Any) -> None:
    assert run("job", "download", "-n", "j", "--all", "--output-name", "score").code == 2


@pytest.mark.parametrize("word", ["archive", "restore"])
def test_archive_and_restore(does: Any, word: str) -> None:
    assert does(f"job {word} -n digits-1") == [(f"jobs.{word}", {"name": "digits-1"})]


def test_errors_are_rows(run: Any, service: Any) -> None:
    service.answers["jobs.errors"] = [{"file": "7.png", "category": "exception", "attempts": 3, "message": "a seven"}]

    assert run("job", "errors", "-n", "digits-1", "--query", "[].file", "-o", "tsv").out == "7.png\n"
    assert "a seven" in run("job", "errors", "-n", "digits-1", "-o", "table").out


FILES = [
    {"path": "logs/sys/node/log.txt", "size": 9},
    {"path": "logs/user/error.txt", "size": 0},
    {"path": "logs/user/stdout/node/process000.stdout.txt", "size": 3},
    {"path": "logs/user/stderr/node/process000.stderr.txt", "size": 3},
]


def test_logs_are_the_scripts_own_words(run: Any, service: Any) -> None:
    service.answers |= {"jobs.files": FILES, "jobs.read": [b"one\n", "Zwölf".encode()]}
    ran = run("job", "logs", "-n", "digits-1")

    assert ran.out == (
        "==> logs/user/stdout/node/process000.stdout.txt <==\none\nZwölf\n"
        "==> logs/user/stderr/node/process000.stderr.txt <==\none\nZwölf\n"
    )


def test_one_log_has_no_head(run: Any, service: Any) -> None:
    service.answers |= {"jobs.files": FILES, "jobs.read": [b"one\n"]}

    assert run("job", "logs", "-n", "digits-1", "--file", "logs/sys/*").out == "one\n"
    assert "no such log; there are: logs/sys" in run("job", "logs", "-n", "digits-1", "--file", "x").err


def test_logs_can_be_listed(run: Any, service: Any) -> None:
    service.answers["jobs.files"] = FILES

    assert run("job", "logs", "-n", "digits-1", "--list").document == FILES
    assert run("job", "logs", "-n", "j", "--list", "--file", "*.stderr.txt", "--query", "[].size").document == [3]


class Streamed(ServiceJob):
    """A job whose events are given."""

    def stream(self, timeout: float | None = None) -> Iterator[Event]:
        for event in (
            Event(name="status", data={"status": "Running", "detail": ""}),
            Event(name="log", data={"file": "logs/user/stdout/n/p.txt", "text": "a line\n"}),
            Event(name="progress", data={"mini_batches": {"planned": 4, "done": 4, "plan_closed": True}}),
        ):
            if event.name == "status":
                self._take({**JOB, **event.data})
            yield event
        self._take(self.last)
        yield Event(name="end", data=self.last)


def streamed(service: Any, last: Any) -> None:
    job = Streamed(JOB, http=None, uploads=None)  # type: ignore[arg-type]
    Streamed.last = last  # type: ignore[attr-defined]
    service.answer = lambda _word, _given: job


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize(
    ("last", "code"),
    [({**JOB, "status": "Completed"}, 0), (FAILED, 3), ({**JOB, "status": "Canceled"}, 130)],
)
def test_stream_exits_as_the_job_did(
    run: Any, service: Any, monkeypatch: pytest.MonkeyPatch, last: dict[str, Any], code: int, *, terminal: bool
) -> None:
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
    streamed(service, last)
    ran = run("job", "stream", "-n", "digits-1")

    assert ran.code == code
    assert ran.out.startswith("RunId: digits-1\nWeb View: http://server/jobs/digits-1\n")
    assert "a line\n" in (ran.err if terminal else ran.out)
    assert "Execution Summary\n" in ran.out
    assert f"Status: {last['status']}\n" in ran.out
    assert ("error: init() failed\n" in ran.err) == (code == 3)


def test_ctrl_c_leaves_the_job_running(run: Any, service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    streamed(service, JOB)
    monkeypatch.setattr(Streamed, "stream", interrupt)
    ran = run("job", "stream", "-n", "digits-1")

    assert ran.code == 130
    assert ran.err.endswith(
        "job digits-1 goes on; gristmill job stream -n digits-1 follows it again, "
        "gristmill job cancel -n digits-1 ends it\n"
    )


def test_a_job_that_is_not_there_is_2(run: Any, service: Any) -> None:
    service.answers["jobs.get"] = JobNotFound("job x: there is none")

    assert (run("job", "stream", "-n", "x").code, run("job", "show", "-n", "x").code) == (2, 2)
