"""The server as a process: how it starts, ends, starts again, and what a hostile connection gets."""

from __future__ import annotations

import json
import signal
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from certified import self_signed
from serving import Serving


@pytest.fixture(scope="module")
def serving(redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(
        redis_server, tmp_path_factory.mktemp("service"), arguments=["--most-upload-bytes", "20000000"]
    ) as serving:
        yield serving


def raw(serving: Serving, request: bytes) -> bytes:
    """Return what the server answers to bytes."""
    place = urlsplit(serving.url)
    with closing(socket.create_connection((place.hostname, place.port), 10)) as connection:
        connection.settimeout(10)
        connection.sendall(request)
        answer = b""
        # What it did not read of a refused request resets the connection.
        with suppress(ConnectionResetError):
            while data := connection.recv(65536):
                answer += data
        return answer


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /health HTTP/1.1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: evil<x>\r\nConnection: close\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"GET /" + b"x" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"PUT /computes/c HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: -1\r\n\r\n",
        b"PUT /computes/c HTTP/1.0\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"GET /batchEndpoints/../../etc/passwd HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /%2e%2e/%00 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ],
)
def test_what_is_no_request_of_ours_is_refused_and_nothing_fails(serving: Serving, request_: bytes) -> None:
    answer = raw(serving, request_)

    assert not answer or 400 <= int(answer.split(b" ", 2)[1]) < 500
    assert answer or len(request_) > 100_000
    assert serving.request("GET", "/health").status_code == 200
    assert "failure " not in serving.log


@pytest.mark.parametrize("name", ["..%2f..%2fetc", "%00", "a%00b", "..", "%ff", "a" * 5000, "%F0%9F%98%80"])
def test_a_name_that_leads_elsewhere_is_refused(serving: Serving, name: str) -> None:
    for method, path in (("PUT", f"/computes/{name}"), ("PUT", f"/data/{name}/versions/1"), ("GET", f"/jobs/{name}")):
        answer = serving.request(method, path, **({"json": {}} if method == "PUT" else {}))
        assert 400 <= answer.status_code < 500, (path, answer.text)
    assert not list(serving.workspace.rglob("etc*"))


def test_an_upload_that_is_too_large_is_refused_while_it_is_sent(serving: Serving) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(30):
            yield b"x" * 1_000_000

    answer = serving.request(
        "PUT", f"/uploads/{'0' * 64}", content=pieces(), headers={"content-type": "application/x-tar"}
    )

    assert answer.status_code in (400, 413)
    assert not [path for path in (serving.workspace / "uploads").rglob("*") if path.is_file()]


def test_the_state_is_there_after_a_death_and_the_token_still_works(redis_server: str, tmp_path: Path) -> None:
    with Serving(redis_server, tmp_path) as serving:
        token = serving.token
        serving.request("PUT", "/batchEndpoints/endpoint", json={"name": "endpoint"}).raise_for_status()
        assert serving.stop(signal.SIGKILL) == -signal.SIGKILL
        serving.start()

        assert serving.token == token
        assert serving.token_file.stat().st_mode & 0o777 == 0o600
        assert serving.request("GET", "/batchEndpoints/endpoint").status_code == 200
        (audit,) = (tmp_path / "workspace" / "audit").iterdir()
        lines = [json.loads(line) for line in audit.read_text().splitlines()]
        assert [(line["who"], line["resource"]) for line in lines] == [("owner", "/batchEndpoints/endpoint")]
        assert token[-20:] not in serving.log


def test_it_leaves_in_time_told_by_a_signal_or_its_owners_end_whoever_still_sends(
    redis_server: str, tmp_path: Path
) -> None:
    with Serving(redis_server, tmp_path) as serving:
        place = urlsplit(serving.url)
        head = f"PUT /uploads/{'0' * 64} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {serving.token}\r\n"
        head += "Content-Type: application/x-tar\r\nContent-Length: 1000\r\n\r\nx"
        with closing(socket.create_connection((place.hostname, place.port), 10)) as connection:
            connection.sendall(head.encode())
            assert serving.request("GET", "/health").status_code == 200
            began = time.monotonic()
            serving.stop()
            assert time.monotonic() - began < 7

        serving.start()
        assert serving.process.stdin is not None
        serving.process.stdin.close()
        assert serving.process.wait(10) == 0
        assert "the owner is gone" in serving.log


def test_it_serves_over_tls(redis_server: str, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    with Serving(redis_server, tmp_path, arguments=["--tls-cert", certificate, "--tls-key", key]) as serving:
        assert serving.url.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=certificate)
        assert serving.request("GET", "/info", verify=trusted).json()["user"] == "owner"
        assert not raw(serving, b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n").startswith(b"HTTP")
