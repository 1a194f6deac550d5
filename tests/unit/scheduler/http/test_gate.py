"""What every request passes: its host, its size; and what nobody foresaw, which tells nothing."""

from __future__ import annotations

from typing import Any

import pytest

from gristmill.errors import (
    EnvironmentFailed,
    Fault,
    GristmillError,
    InputNotFound,
    InvalidDeployment,
    JobNotFound,
    LedgerFailed,
    ModelNotFound,
    NotFound,
    StorageFailed,
)
from gristmill_scheduler.http.auth import READER, Require
from gristmill_scheduler.http.bodies import MOST_JSON_BYTES, MOST_LEVELS
from gristmill_scheduler.http.problems import status_of
from gristmill_scheduler.http.services import About


@pytest.fixture
def answer_to(open_world: Any, failing: list[Exception]) -> Any:
    """Return what a route answers that raises an error."""

    def answer(error: Exception) -> Any:
        failing.append(error)
        return open_world.ask("GET", "/raise")

    return answer


def test_what_nobody_foresaw_is_a_plain_500_with_a_number_for_the_log(
    answer_to: Any, caplog: pytest.LogCaptureFixture
) -> None:
    answer = answer_to(RuntimeError("the secret lies in /srv/secret"))

    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    number = answer.json()["detail"].split()[-1]
    (record,) = [record for record in caplog.records if number in record.message]
    assert record.exc_info is not None
    assert "the secret lies" in str(record.exc_info[1])


@pytest.mark.parametrize("error", [GristmillError("in /srv/x"), EnvironmentFailed("in /srv/x", detail="Traceback")])
def test_an_error_of_ours_that_is_nobodys_mistake_is_a_plain_500(answer_to: Any, error: GristmillError) -> None:
    answer = answer_to(error)

    assert answer.status_code == 500
    assert "/srv" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (StorageFailed("/srv/workspace: no space left"), "storage does not answer"),
        (NotFound("/srv/workspace/x"), "storage does not answer"),
        (LedgerFailed("redis://10.0.0.1: refused"), "the Redis server does not answer"),
    ],
)
def test_what_is_away_answers_503_without_its_address(answer_to: Any, error: GristmillError, words: str) -> None:
    answer = answer_to(error)

    assert answer.status_code == 503
    assert answer.json()["error"]["class"] == type(error).__name__
    assert answer.json()["detail"].startswith(words)
    assert answer.headers["retry-after"]
    assert "/srv" not in answer.text
    assert "10.0.0.1" not in answer.text


@pytest.mark.parametrize(
    ("error", "path", "status"),
    [
        (JobNotFound("j"), "/jobs/j", 404),
        (JobNotFound("j"), "/raise", 400),
        (ModelNotFound("m"), "/models/m/versions/9", 404),
        (ModelNotFound("m"), "/raise", 400),
        (InputNotFound("i"), "/jobs/j", 400),
    ],
)
def test_what_the_address_names_is_not_found_and_what_a_body_names_is_a_mistake(
    error: GristmillError, path: str, status: int
) -> None:
    assert status_of(error, path) == status


def test_every_fault_of_a_document_is_told_apart(answer_to: Any) -> None:
    faults = (Fault(field="a.b", message="is wrong", line=3), Fault(field="", message="is empty"))

    body = answer_to(InvalidDeployment("deployment d", faults)).json()

    assert body["status"] == 400
    assert body["title"] == body["error"]["class"] == "InvalidDeployment"
    assert body["faults"] == [
        {"field": "a.b", "message": "is wrong", "line": 3},
        {"field": "", "message": "is empty", "line": None},
    ]


@pytest.mark.parametrize("host", ["", "a b", "x/y", "evil\\x", "é", "[::1", "a:b", "a:123456", "a,b"])
def test_a_host_that_is_none_is_refused(world: Any, host: str) -> None:
    assert world.ask("GET", "/health", headers={"host": host.encode()}).status_code == 400


def test_a_path_that_is_not_there_is_said_in_our_words(world: Any) -> None:
    token = world.token("owner")

    missing, method = world.ask("GET", "/nothing%1b[2J", token), world.ask("PATCH", "/tokens", token)

    assert (missing.status_code, missing.json()["error"]["class"]) == (404, "ResourceNotFound")
    assert "\x1b" not in missing.json()["detail"]
    assert (method.status_code, method.json()["detail"]) == (405, "/tokens: PATCH cannot be used here")
    assert method.headers["allow"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "the body is no JSON"),
        (b"\xff", "the body is no JSON: byte 0 is no UTF-8"),
        (b"[]", "the body is a JSON array; send an object"),
        (b"7", "the body is a JSON number; send an object"),
        (b"null", "the body is a JSON null; send an object"),
        (b'{"a": NaN}', "the body is no JSON: NaN is no JSON number"),
        (b'{"a": -Infinity}', "the body is no JSON: -Infinity"),
        (b'{"a": 1e999}', "the body: a number is too large to be kept"),
        (b'{"a": ' + b"9" * 5000 + b"}", "the body is no JSON"),
        (b'{"a": "\\ud800"}', "the body: holds a text with NUL or half a surrogate pair"),
        (b'{"\\udfff": 1}', "the body: holds a text with NUL"),
        (b'{"a": "\\u0000"}', "the body: holds a text with NUL"),
        (b'{"a": ' + b"[" * MOST_LEVELS + b"]" * MOST_LEVELS + b"}", "the body: is nested deeper than"),
        (b"[" * 100_000, "the body is no JSON: it is nested deeper than"),
    ],
)
def test_a_body_that_no_document_could_hold_is_refused(world: Any, body: bytes, words: str) -> None:
    answer = world.ask(
        "PUT", "/computes/c", world.token("owner"), content=body, headers={"content-type": "application/json"}
    )

    assert answer.status_code == 400
    assert answer.json()["detail"].startswith(words)
    assert len(answer.text) < 1000


@pytest.mark.parametrize(("kind", "status"), [("text/plain", 415), ("application/json; charset=utf-8", 201)])
def test_a_body_says_that_it_is_json(world: Any, kind: str, status: int) -> None:
    answer = world.ask(
        "PUT", f"/datastores/d{status}", world.token("owner"), content=b"{}", headers={"content-type": kind}
    )

    assert answer.status_code == status


def test_a_body_that_is_too_large_is_refused_before_it_is_read_and_while_it_comes(world: Any) -> None:
    token, large = world.token("owner"), b" " * (MOST_JSON_BYTES + 1)

    told = world.ask("PUT", "/computes/c", token, content=large)
    untold = world.ask("PUT", "/computes/c", token, content=iter([large[:1000], large]))

    for answer in (told, untold):
        assert (answer.status_code, answer.json()["error"]["class"]) == (413, "TooLarge")
        assert str(MOST_JSON_BYTES) in answer.json()["detail"]


def test_only_uploads_may_be_larger_than_other_bodies(make_world: Any) -> None:
    world = make_world(about=About(url="http://localhost", most_upload_bytes=10), insecure_local=True)
    headers = {"content-type": "application/x-tar"}

    answer = world.ask("PUT", f"/uploads/{'0' * 64}", content=b"x" * 11, headers=headers)

    assert answer.status_code == 413
    assert "more than 10 bytes" in answer.json()["detail"]


def test_a_check_says_what_it_needs() -> None:
    assert isinstance(READER.dependency, Require)
    assert READER.dependency.role == "reader"
