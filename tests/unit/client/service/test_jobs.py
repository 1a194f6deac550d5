from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest

from answering import CUT, Reply, Server
from gristmill import errors, spec
from gristmill.machine import machine_id
from gristmill.service import following
from gristmill.service.client import Client
from gristmill.service.events import Event
from gristmill.service.resource import Resource

SETTINGS = spec.to_json(spec.Settings(output_format=spec.RowFormat.CSV, header=True, delimiter=","))
SUMMARY = {"items": {"total": 3}}


def event(name: str, /, **data: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()


def streamed(*chunks: bytes | None) -> Reply:
    return Reply(chunks=list(chunks), headers={"content-type": "text/event-stream; charset=utf-8"})


@pytest.fixture
def job(client: Client, server: Server, job_document: Any) -> Any:
    server.answers["GET /jobs/j1"] = job_document()
    return client.jobs.get("j1")


@pytest.fixture
def done(job_document: Any) -> dict[str, Any]:
    document: dict[str, Any] = job_document(
        status="Completed", summary=SUMMARY, settings=SETTINGS, items={"total": 3, "succeeded": 2, "failed": 1}, rows=2
    )
    return document


def test_a_job_is_its_document(job: Any) -> None:
    assert job.name == "j1"
    assert job.outputs.score.type == "uri_file"
    assert dict(job)["endpoint_name"] == "digits"
    assert not job.ended
    assert repr(job) == "<gristmill.service.ServiceJob j1: Running, output /elsewhere/data/j1/predictions.csv>"


def test_what_is_no_job_is_an_error(client: Client, server: Server) -> None:
    server.answers["GET /jobs/j1"] = {"hello": "world"}

    with pytest.raises(errors.ServerFailed, match="answered no job"):
        client.jobs.get("j1")


def test_wait_follows_the_stream_to_the_end(job: Any, server: Server, done: dict[str, Any]) -> None:
    server.answers["GET /jobs/j1/stream"] = streamed(
        event("status", status="Finalizing", detail=""), event("end", **done)
    )

    assert job.wait() is job
    assert job.status == "Completed"
    assert job.summary == SUMMARY
    assert server.asked().count("GET /jobs/j1/stream") == 1


def test_wait_takes_up_again_where_a_connection_was_cut(job: Any, server: Server, done: dict[str, Any]) -> None:
    server.answers["GET /jobs/j1/stream"] = [
        streamed(event("log", file="a", text="1\n2\n"), None),
        CUT,
        Reply(503),
        streamed(event("log", file="a", text="1\n2\n3\n"), event("heartbeat")),
        streamed(event("log", file="a", text="1\n2\n3\n"), event("log", file="a", text="4\n"), event("end", **done)),
    ]

    texts = [each.data["text"] for each in job.stream() if each.name == "log"]

    assert texts == ["1\n2\n", "3\n", "4\n"]
    assert job.status == "Completed"


def test_a_new_connection_says_where_in_the_logs_the_last_one_was(job: Any, server: Server, done: Any) -> None:
    # The same line twice is two lines: the server knows, and nothing is compared.
    line = event("log", file="a", text="again\n")
    server.answers["GET /jobs/j1/stream"] = [
        streamed(b"id: p1\n" + line, b"id: p2\n" + event("log", file="a", text="again\n")[:-9], None),
        CUT,
        streamed(b"id: p2\n" + line, b"id: \n" + line, None),
        streamed(line, event("end", **done)),
    ]

    texts = [each.data["text"] for each in job.stream() if each.name == "log"]

    asked = [each.headers.get("last-event-id") for each in server.seen if each.path.endswith("/stream")]
    assert asked == [None, "p1", "p1", None]
    # Of the last connection no place was known: what it brings again is found by its text.
    assert texts == ["again\n"] * 3


def test_wait_asks_where_nothing_streams(
    job: Any, server: Server, done: dict[str, Any], job_document: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_LOOK", 0.001)
    queued = job_document(status="Queued", detail="waiting for 1 of 1 instances of c")
    server.answers["GET /jobs/j1/stream"] = Reply(200, chunks=[b"<html>"], headers={"content-type": "text/html"})
    server.answers["GET /jobs/j1"] = [queued, queued, done]

    assert [each for each in job.stream() if each.name] == [
        Event(name="status", data={"status": "Queued", "detail": "waiting for 1 of 1 instances of c"}),
        Event(name="end", data=done),
    ]


def test_wait_says_that_a_job_is_unknown(client: Client, server: Server, job: Any) -> None:
    del server.answers["GET /jobs/j1"]

    with pytest.raises(errors.ResourceNotFound):
        job.wait()


def test_wait_gives_a_server_up_that_is_gone_for_long(
    job: Any, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "_PATIENCE", 0.0)
    server.answers["GET /jobs/j1/stream"] = CUT

    with pytest.raises(errors.ServerFailed, match="cannot be reached"):
        job.wait()


def test_a_job_that_has_not_ended_by_then_goes_on(job: Any, server: Server) -> None:
    server.answers["GET /jobs/j1/stream"] = streamed(event("status", status="Running", detail=""))

    with pytest.raises(TimeoutError, match=r"job j1: not ended after 0\.05 s"):
        job.wait(timeout=0.05)


def test_a_paused_job_has_not_ended(job: Any, server: Server, done: dict[str, Any]) -> None:
    server.answers["GET /jobs/j1/stream"] = streamed(event("status", status="Paused", detail=""), event("end", **done))

    assert job.wait().status == "Completed"


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        ("Failed", {"class": "ThresholdExceeded", "message": "too many", "detail": ""}, errors.ThresholdExceeded),
        ("Failed", None, errors.JobFailed),
        ("Canceled", None, errors.JobCanceled),
    ],
)
def test_wait_raises_what_ended_the_job(
    client: Client, server: Server, job_document: Any, *, status: str, error: Any, kind: Any
) -> None:
    server.answers["GET /jobs/j1"] = job_document(status=status, error=error)

    with pytest.raises(kind):
        client.jobs.get("j1").wait()


def test_the_progress_is_shown(
    job: Any, server: Server, done: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    progress = {"mini_batches": {"planned": 4, "done": 2, "plan_closed": True}, "items": {"succeeded": 20}}
    server.answers["GET /jobs/j1/stream"] = streamed(
        event("status", status="Held", detail="somewhere"), event("progress", **progress), event("end", **done)
    )

    job.wait(progress=True)

    shown = capsys.readouterr().err
    assert "j1: Running: Held: somewhere, 2/4 mini-batches" in shown
    assert "j1: Completed after" in shown


@pytest.mark.parametrize(
    ("call", "path", "body"),
    [
        (lambda job: job.cancel(), "cancel", {"keep_partial": False}),
        (lambda job: job.cancel(keep_partial=True), "cancel", {"keep_partial": True}),
        (lambda job: job.pause(), "pause", {}),
        (lambda job: job.unpause(), "unpause", {}),
    ],
)
def test_a_job_is_told_what_to_do(
    job: Any, server: Server, job_document: Any, *, call: Any, path: str, body: dict[str, Any]
) -> None:
    server.answers[f"POST /jobs/j1/{path}"] = [CUT, job_document(status="CancelRequested")]

    assert call(job).status == "CancelRequested"
    assert server.seen[-1].document == body


@pytest.mark.parametrize(
    ("operation", "path"),
    [
        ("cancel", "cancel"),
        ("pause", "pause"),
        ("unpause", "unpause"),
        ("archive", "archive"),
        ("restore", "restore"),
        ("resume", "resume"),
        ("retry_failed", "retry-failed"),
    ],
)
def test_jobs_are_told_what_to_do_by_their_names(
    client: Client, server: Server, job_document: Any, operation: str, path: str
) -> None:
    server.answers[f"POST /jobs/j1/{path}"] = job_document(name="j2")

    assert getattr(client.jobs, operation)("j1").name == "j2"


def test_a_job_is_verified(client: Client, server: Server) -> None:
    server.answers["POST /jobs/j1/verify"] = {"ok": False, "faults": ["one"]}

    assert client.jobs.verify("j1").faults == ["one"]


def test_errors_are_rows(client: Client, job: Any, server: Server) -> None:
    server.answers["GET /jobs/j1/errors"] = lambda request: (
        {"value": [{"file": "b"}], "nextLink": None}
        if "after" in request.query
        else {"value": [{"file": "a"}], "nextLink": "/jobs/j1/errors?after=20"}
    )

    assert job.errors() == [{"file": "a"}, {"file": "b"}]
    assert client.jobs.errors("j1") == job.errors()


def test_a_job_without_a_summary_says_where_it_stands(job: Any) -> None:
    with pytest.raises(errors.NotFound, match="it is Running and has no summary"):
        job.summary  # noqa: B018


def test_the_output_is_fetched_and_read_with_the_jobs_settings(client: Client, server: Server, done: Any) -> None:
    server.answers["GET /jobs/j1"] = done
    server.answers["GET /jobs/j1/files/score/predictions.csv"] = Reply(chunks=[b"file,label\na.png,7\n", b"b.png,8\n"])

    table = client.jobs.get("j1").to_pandas()

    assert table.to_dict("list") == {"file": ["a.png", "b.png"], "label": [7, 8]}


@pytest.mark.skipif(not machine_id(), reason="this machine has no name")
def test_the_output_is_read_where_it_is_on_the_same_machine(
    client: Client, server: Server, done: Any, tmp_path: Path
) -> None:
    (tmp_path / "scores.csv").write_text("file,label\na.png,7\n")
    done["outputs"]["score"]["path"] = str(tmp_path / "scores.csv")
    server.answers["GET /info"] = {"machine": machine_id(), "allowed_roots": []}
    server.answers["GET /jobs/j1"] = done

    assert len(client.jobs.get("j1").to_pandas()) == 1
    assert server.asked() == ["GET /jobs/j1", "GET /info"]


def test_a_job_without_an_output_file_has_no_table(client: Client, server: Server, done: Any) -> None:
    done["settings"] = {**SETTINGS, "output_action": "summary_only"}
    server.answers["GET /jobs/j1"] = done

    with pytest.raises(errors.Mistake, match="summary_only"):
        client.jobs.get("j1").to_pandas()


@pytest.mark.parametrize(
    ("view", "archived"),
    [
        ("ACTIVE_ONLY", "exclude"),
        ("ArchivedOnly", "only"),
        ("ListViewType.ALL", "include"),
        ("All", "include"),
        ("active_only", "exclude"),
    ],
)
def test_jobs_are_listed(client: Client, server: Server, job_document: Any, view: str, archived: str) -> None:
    server.answers["GET /jobs"] = {"value": [job_document(), job_document(name="j2")], "nextLink": None}

    jobs = list(client.jobs.list(list_view_type=view, max_results=1, parent_job_name="p", status="Running"))

    assert [job.name for job in jobs] == ["j1"]
    assert server.seen[-1].query == {"archived": archived, "parent": "p", "status": "Running", "limit": "1"}


def test_an_unknown_view_is_refused(client: Client) -> None:
    with pytest.raises(errors.Mistake, match="give one of ACTIVE_ONLY, ARCHIVED_ONLY, ALL"):
        client.jobs.list(list_view_type="SOME")


def test_streaming_prints_logs_status_and_the_summary(client: Client, job: Any, server: Server, done: Any) -> None:
    progress = {"mini_batches": {"planned": 4, "done": 2, "plan_closed": True}, "rate": 1.0}
    server.answers["GET /jobs/j1/stream"] = streamed(
        event("status", status="Running", detail=""),
        event("status", status="Running", detail=""),
        event("log", file="logs/user/a.txt", text="one\n"),
        event("log", file="logs/user/a.txt", text="two"),
        event("progress", **progress),
        event("progress", **{**progress, "rate": 2.0}),
        event("end", **done),
    )
    out = io.StringIO()

    client.jobs.stream("j1", out=out)

    text = out.getvalue()
    assert text.startswith("RunId: j1\nWeb View: http://host/jobs/j1\nRunning\n\nStreaming logs/user/a.txt\n====")
    assert "\n\none\ntwo\n" in text
    assert text.count("Running\n") == 1
    assert text.count("2/4 mini-batches") == 1
    assert "Execution Summary" in text
    assert "\nItems: 2 succeeded, 1 failed\n" in text


def test_streaming_a_job_that_failed_raises(client: Client, server: Server, job_document: Any) -> None:
    error = {"class": "NothingSucceeded", "message": "no item", "detail": ""}
    failed = job_document(status="Failed", error=error)
    server.answers["GET /jobs/j1"] = failed
    server.answers["GET /jobs/j1/stream"] = streamed(event("end", **failed))
    out = io.StringIO()

    with pytest.raises(errors.NothingSucceeded, match="no item"):
        client.jobs.stream("j1", out=out)
    assert "Status: Failed" in out.getvalue()


def test_a_notebook_shows_a_bar_and_counts(job: Any, job_document: Any, client: Client) -> None:
    job.progress = {"mini_batches": {"planned": 4, "done": 1, "plan_closed": True}, "items": {"failed": 2}}
    assert "width: 25%" in job._repr_html_()
    assert "1/4 mini-batches" in job._repr_html_()

    failed = client.jobs.made(
        job_document(status="Failed", error={"message": "<script>"}, items={"total": 1200, "failed": 1200}, rows=1)
    )
    shown = failed._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown
    assert "1,200 items · 1,200 failed · 1 row" in shown


def test_a_copy_of_a_job_is_its_document_alone(job: Any) -> None:
    assert copy.copy(job) == dict(job)
    assert type(copy.deepcopy(job)) is Resource


def test_jobs_are_downloaded_by_their_names(client: Client, job: Any, tmp_path: Path) -> None:
    with pytest.raises(errors.Mistake, match="This job is in state Running"):
        client.jobs.download("j1", tmp_path)
