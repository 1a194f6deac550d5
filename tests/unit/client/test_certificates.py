"""This machine's own server is known by its certificate, and no other is taken for it."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from certified import self_signed
from gristmill.certificates import check_pair, first_of, trusting
from gristmill.errors import Mistake, ServerFailed
from gristmill.local import probe
from gristmill.service.connection import Connection
from gristmill.service.http import Http, Retries


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(certificate: Path, key: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"https://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("days", [1, -1])
def test_the_server_is_known_by_its_certificate_under_any_name_and_date(tmp_path: Path, days: int) -> None:
    certificate, key = self_signed(tmp_path, "ml.example", days=days)
    with serving(certificate, key) as url:
        assert probe.ask(url, "/health", certificate=certificate) == {}
        http_ = Http(Connection(url=url, certificate=str(certificate)))
        assert http_.get("/health").status == 200
        http_.close()


def test_another_server_of_that_name_is_not_taken_for_it(tmp_path: Path) -> None:
    ours, _ = self_signed(tmp_path / "ours")
    theirs = self_signed(tmp_path / "theirs")
    with serving(*theirs) as url:
        assert probe.ask(url, "/health", certificate=ours) is None
        http_ = Http(Connection(url=url, certificate=str(ours)), retries=Retries(attempts=1))
        with pytest.raises(ServerFailed, match="CERTIFICATE_VERIFY_FAILED"):
            http_.get("/health")
        http_.close()


def test_of_a_chain_the_servers_own_certificate_is_kept(tmp_path: Path) -> None:
    first, _ = self_signed(tmp_path / "a")
    second, _ = self_signed(tmp_path / "b")
    chain = tmp_path / "chain.pem"
    chain.write_text(f"what it is for\n{first.read_text()}{second.read_text()}")
    assert first_of(chain) == first.read_text()


def test_what_is_no_certificate_is_refused_in_one_line(tmp_path: Path) -> None:
    certificate, _ = self_signed(tmp_path / "a")
    _, key = self_signed(tmp_path / "b")
    (tmp_path / "text").write_text("text")
    with pytest.raises(Mistake, match="there is no certificate in it"):
        first_of(tmp_path / "text")
    with pytest.raises(Mistake, match="No such file"):
        first_of(tmp_path / "none")
    with pytest.raises(Mistake, match=r"--tls-cert .*KEY_VALUES_MISMATCH|--tls-cert .*mismatch"):
        check_pair(certificate, key)
    with pytest.raises(Mistake, match="cannot be read"):
        trusting(tmp_path / "text")
    assert probe.ask("https://127.0.0.1:1", "/health", certificate=tmp_path / "none") is None
