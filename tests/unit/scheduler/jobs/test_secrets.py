"""No secret of an input's address comes out of a job: its document, lists, events, its record, the log."""

from __future__ import annotations

import dataclasses
import http.server
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gristmill.spec import Input
from gristmill_scheduler.resources.places import Located
from gristmill_scheduler.standing import Standing
from gristmill_storage.documents import read_job
from gristmill_storage.files import open_store
from gristmill_storage.store import without_secrets

USER, SIGNATURE = "hidden-password", "hidden-signature"


class Website:
    """Has one file, for whoever signs."""

    def __init__(self, server: http.server.ThreadingHTTPServer) -> None:
        self._place = f"127.0.0.1:{server.server_port}"

    def address(self, name: str, *, signature: str = SIGNATURE) -> str:
        return f"http://{self._place}/{name}?sv=1&sig={signature}"

    def shown(self, name: str) -> str:
        return f"http://{self._place}/{name}"


@pytest.fixture(scope="module")
def website() -> Iterator[Website]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            found = self.path.startswith("/a.txt")
            refused = 503 if "busy" in self.path else 403
            status = 200 if found and SIGNATURE in self.path else refused if found else 404
            self.send_response(status)
            self.send_header("Content-Length", "1")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            self.wfile.write(b"x")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield Website(server)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _addresses(world, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let addresses of the web lead to themselves, as they do."""
    known = world.resources.uri

    def uri(text: str, *, kind: str) -> Located:
        if not text.startswith("http"):
            return known(text, kind=kind)
        return Located(url=text, type="uri_file", origin=without_secrets(text))

    monkeypatch.setattr(world.resources, "uri", uri)


def records(world) -> str:
    store = world.workspace.store
    files = [entry.path for entry in store.list("documents/jobs")]
    assert files
    return "".join(store.read(path).decode() for path in files)


def assert_hidden(*texts: Any) -> None:
    for text in map(str, texts):
        assert SIGNATURE not in text


def test_a_job_is_begun_with_the_whole_address_by_any_server_and_shows_nothing_of_it(world, website, caplog) -> None:
    caplog.set_level(logging.INFO)
    made = world.server(start=False).invoke("e", {"input": website.address("a.txt")})
    waiting = records(world)

    jobs = world.server()
    done = world.ends(jobs, made["name"])

    assert (done["status"], done["error"]) == ("Completed", None)
    assert done["inputs"] == {"input": {"type": "uri_file", "path": website.shown("a.txt")}}
    assert read_job(open_store(done["folder"])).input.uri == website.address("a.txt")
    assert_hidden(made, waiting, records(world), done, jobs.list(limit=5), jobs.children(made["name"]), caplog.text)


def test_a_job_whose_input_is_not_there_says_so_without_a_secret(world, jobs, website, caplog) -> None:
    caplog.set_level(logging.INFO)
    made = jobs.invoke("e", {"input": website.address("gone.txt")})

    failed = world.ends(jobs, made["name"])

    assert website.shown("gone.txt") in failed["error"]["message"]
    assert_hidden(made, records(world), failed, jobs.list(limit=5), caplog.text)


def test_storage_that_refuses_is_told_of_without_a_secret(world, jobs, website, caplog) -> None:
    caplog.set_level(logging.INFO)
    made = jobs.invoke("e", {"input": website.address("a.txt", signature="busy-signature")})

    world.until(lambda: "cannot be begun now" in caplog.text)

    assert "busy-signature" not in caplog.text + records(world) + str(jobs.get(made["name"]))
    assert_hidden(made, caplog.text)


def test_a_web_server_that_refuses_fails_the_job_at_once_without_a_secret(world, jobs, website, caplog) -> None:
    caplog.set_level(logging.INFO)
    made = jobs.invoke("e", {"input": website.address("a.txt", signature="wrong-signature")})

    failed = world.ends(jobs, made["name"])

    assert f"input: {website.shown('a.txt')}: the web server answers 403 Forbidden" in failed["error"]["message"]
    assert "wrong-signature" not in caplog.text + records(world) + str(failed)


def test_a_retry_of_failed_items_hides_it_as_its_job_does(world, website, monkeypatch) -> None:
    jobs = world.server()
    made = world.ends(jobs, jobs.invoke("e", {"input": website.address("a.txt")})["name"])

    def begin_retry(folder: Any, job: Any, *, name: str) -> tuple[Any, Any]:
        return dataclasses.replace(job, name=name, retry_of=job.name), folder

    monkeypatch.setattr("gristmill_scheduler.jobs.control.begin_retry", begin_retry)
    jobs.stop()
    retry = jobs.retry_failed(made["name"])

    assert retry["retry_of"] == made["name"]
    assert_hidden(retry, records(world))


def test_a_job_without_secrets_keeps_its_address_in_its_record(world) -> None:
    world.server(start=False).invoke("e", {"input": "azureml:data:1"})

    assert str(world.folder / "in") in records(world)
    assert list(world.workspace.store.list("documents/job-inputs")) == []


def test_a_job_of_the_command_line_shows_its_input_without_a_secret(make_job, tmp_path) -> None:
    job = make_job(0)
    job = dataclasses.replace(job, input=Input(uri=f"https://me:{USER}@host/in/?sv=1&sig={SIGNATURE}"))
    shown = Standing(job, open_store(str(tmp_path)), None).document()

    assert shown["input"] == "https://host/in"
    assert_hidden(shown)
