from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

from answering import CUT, Reply, Server
from gristmill import errors
from gristmill.errors import Mistake, ServerFailed
from gristmill.service.connection import Connection
from gristmill.service.http import Http, Retries, place


def problem(kind: str, message: str = "what is wrong", detail: str = "") -> dict[str, Any]:
    return {"type": "about:blank", "error": {"class": kind, "message": message, "detail": detail}}


def test_the_token_is_sent(http: Http, server: Server) -> None:
    server.answers["GET /info"] = {"api": 1}

    assert http.get("/info").document == {"api": 1}
    assert server.seen[0].headers["authorization"] == "Bearer s3cret"


def test_an_answer_has_its_version(http: Http, server: Server) -> None:
    server.answers["GET /x"] = Reply(document={}, headers={"etag": '"3"'})

    assert http.get("/x").etag == '"3"'


@pytest.mark.parametrize("status", [502, 503, 504])
def test_who_is_not_ready_is_asked_again_later_and_later(
    http: Http, server: Server, naps: list[float], status: int
) -> None:
    server.answers["GET /x"] = [Reply(status), Reply(status), Reply(document=[1])]

    assert http.get("/x").document == [1]
    assert len(naps) == 2
    assert 0.1 <= naps[0] <= 0.2 <= naps[1] <= 0.4


def test_a_cut_connection_is_asked_again(http: Http, server: Server) -> None:
    server.answers["PUT /x"] = [CUT, CUT, Reply(201, {"a": 1})]

    assert http.send("PUT", "/x", document={}).status == 201


@pytest.mark.parametrize(
    ("method", "headers"), [("POST", {}), ("PUT", {"if-match": '"1"'}), ("PUT", {"If-None-Match": "*"})]
)
def test_what_must_not_be_done_twice_is_asked_once(
    http: Http, server: Server, method: str, headers: dict[str, str]
) -> None:
    server.answers[f"{method} /x"] = CUT

    with pytest.raises(ServerFailed, match="cannot be reached"):
        http.send(method, "/x", document={}, headers=headers)

    assert len(server.seen) == 1


def test_a_delete_whose_reply_was_lost_has_happened(http: Http, server: Server) -> None:
    server.answers["DELETE /x"] = [CUT, Reply(404, problem("ResourceNotFound"))]

    assert http.send("DELETE", "/x").status == 204


def test_a_delete_of_what_is_not_there_is_an_error(http: Http, server: Server) -> None:
    with pytest.raises(errors.ResourceNotFound):
        http.send("DELETE", "/x")


def test_who_cannot_be_reached_is_named_without_the_token(naps: list[float]) -> None:
    http = Http(Connection(url="http://127.0.0.1:1", token="s3cret"), retries=Retries(sleep=naps.append))

    with pytest.raises(ServerFailed, match=r"^server http://127\.0\.0\.1:1: cannot be reached: ") as caught:
        http.send("POST", "/x", document={})

    http.close()
    assert len(naps) == 5
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("kind", ["ResourceNotFound", "Conflict", "InputNotFound", "JobNotFound", "StorageFailed"])
def test_what_the_server_says_is_raised_as_its_class(http: Http, server: Server, kind: str) -> None:
    server.answers["POST /x"] = Reply(400, problem(kind, "a is b", "long"))

    with pytest.raises(getattr(errors, kind), match=r"^a is b$") as caught:
        http.send("POST", "/x")

    assert caught.value.detail == "long"


def test_what_is_not_there_exits_as_with_az(http: Http, server: Server) -> None:
    server.answers["GET /jobs/j"] = Reply(404, problem("JobNotFound", "job j: there is none", ""))

    with pytest.raises(errors.JobNotFound) as caught:
        http.get("/jobs/j")

    assert caught.value.exit_code == 3
    assert errors.JobNotFound("no job in that folder").exit_code == 2


def test_a_fault_of_the_server_is_the_servers(http: Http, server: Server) -> None:
    server.answers["POST /x"] = Reply(500, problem("GristmillError", "something went wrong"))

    with pytest.raises(ServerFailed, match="something went wrong"):
        http.send("POST", "/x")


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, "Unauthorized"), (403, "Forbidden"), (409, "Conflict"), (412, "PreconditionFailed"), (413, "TooLarge")],
)
def test_a_proxys_answer_without_our_words_has_the_class_of_its_status(
    http: Http, server: Server, status: int, kind: str
) -> None:
    server.answers["GET /x"] = Reply(status, chunks=[b"<html>no</html>"])

    with pytest.raises(getattr(errors, kind), match=f"GET {server.url}/x: answered {status}"):
        http.get("/x")


def test_a_server_of_another_kind_is_suspected(http: Http, server: Server) -> None:
    server.answers["GET /x"] = Reply(404, chunks=[b"<html>nothing here</html>"])
    with pytest.raises(ServerFailed, match="is the address right"):
        http.get("/x")

    server.answers["GET /x"] = Reply(200, chunks=[b"<html>Welcome</html>"])
    with pytest.raises(ServerFailed, match="is no JSON"):
        http.get("/x")


def test_a_redirect_is_not_followed(http: Http, server: Server) -> None:
    server.answers["GET /x"] = Reply(302, headers={"location": "http://u:pa55@evil.example/x?token=t"})

    with pytest.raises(ServerFailed, match="give the server's own address") as caught:
        http.get("/x")

    assert "evil.example" in caught.value.message
    assert "pa55" not in caught.value.message
    assert "token=t" not in caught.value.message
    assert len(server.seen) == 1


def test_a_list_is_read_page_after_page_from_this_server_alone(http: Http, server: Server) -> None:
    def pages(request: Any) -> Any:
        after = int(request.query.get("after", 0))
        link = f"http://evil.example/steal?limit=2&after={after + 2}" if after < 4 else None
        return {"value": [after, after + 1], "nextLink": link}

    server.answers["GET /jobs"] = pages

    assert list(http.pages("/jobs", params={"status": "Failed"})) == [0, 1, 2, 3, 4, 5]
    assert [request.query.get("after") for request in server.seen] == [None, "2", "4"]
    assert {request.query["status"] for request in server.seen} == {"Failed"}


def test_no_more_pages_are_asked_for_than_are_wanted(http: Http, server: Server) -> None:
    server.answers["GET /jobs"] = {"value": [1, 2], "nextLink": "/jobs?after=2"}

    assert list(http.pages("/jobs", most=2)) == [1, 2]
    assert len(server.seen) == 1


def test_a_page_that_leads_to_itself_is_no_list(http: Http, server: Server) -> None:
    server.answers["GET /jobs"] = {"value": [], "nextLink": "/jobs?after=2"}

    with pytest.raises(ServerFailed, match="the same page"):
        list(http.pages("/jobs"))


@pytest.mark.parametrize("document", [[], {"value": None}, {}])
def test_what_is_no_list_is_an_error(http: Http, server: Server, document: Any) -> None:
    server.answers["GET /jobs"] = Reply(document=document)

    with pytest.raises(ServerFailed, match="answered no list"):
        list(http.pages("/jobs"))


def test_names_cannot_lead_to_other_paths() -> None:
    assert place("batchEndpoints", "a/b?c#d%") == "/batchEndpoints/a%2Fb%3Fc%23d%25"
    for name in ("", ".", ".."):
        with pytest.raises(Mistake, match="give the name"):
            place("jobs", name)


def test_certificates_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for name in ("ca.pem", "none.pem"):
        with pytest.raises(Mistake, match="certificates cannot be read"):
            Http(Connection(url="https://a", ca_file=str(tmp_path / name)))


def test_certificates_are_checked_by_the_file_that_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    bare = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    monkeypatch.setattr(ssl, "create_default_context", lambda cafile: made.append(cafile) or bare)

    Http(Connection(url="https://a", ca_file="/ca.pem")).close()

    assert made == ["/ca.pem"]


def test_an_answer_too_late_is_told_so() -> None:
    def slow(request: httpx.Request) -> httpx.Response:
        raise httpx.ReadTimeout("", request=request)

    http = Http(Connection(url="http://a:1"), transport=httpx.MockTransport(slow))
    with pytest.raises(ServerFailed, match="it did not answer in time"):
        http.send("POST", "/x")
    http.close()
