"""The socket of the server, and what of its command line would be dangerous."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gristmill import versions
from gristmill.errors import AlreadyExists, Mistake
from gristmill_scheduler import service
from gristmill_scheduler.http.listening import Certificate, address_of, bind, check_insecure
from gristmill_scheduler.service import main, open_workspace, read_options
from gristmill_storage.files import MemoryStore


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.8.9.1"])
def test_without_tokens_only_this_machine_is_served(host: str) -> None:
    check_insecure(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "10.0.0.1", "example.com", "127.0.0.1.example.com"])
def test_without_tokens_no_other_machine_is_served(host: str) -> None:
    with pytest.raises(Mistake, match="everyone who reaches"):
        read_options(["--insecure-local", "--host", host], workspace="w").check()


def test_a_free_port_is_found_and_told() -> None:
    with bind("127.0.0.1", 0) as bound:
        port = bound.getsockname()[1]
        assert address_of(bound, host="127.0.0.1", tls=False, machine="m") == f"http://127.0.0.1:{port}"
        assert address_of(bound, host="0.0.0.0", tls=True, machine="m") == f"https://m:{port}"
        assert address_of(bound, host="::1", tls=True, machine="m") == f"https://[::1]:{port}"


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Mistake, match=f"--port {port}: cannot be listened at"):
            bind("127.0.0.1", port)


@pytest.mark.parametrize("port", [-1, 65536])
def test_a_port_that_is_none_is_refused(port: int) -> None:
    with pytest.raises(Mistake, match="give 0"):
        bind("127.0.0.1", port)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tls-cert", "c.pem"], "--tls-cert and --tls-key: give both"),
        (["--oidc-issuer", "https://id.example"], "--oidc-issuer and --oidc-audience: give both"),
        (["--oidc-issuer", "http://id.example", "--oidc-audience", "a"], "give an https:// address"),
        (["--trusted-proxy", "proxy.example"], "--trusted-proxy: .*give an address or a network"),
        (["--trusted-proxy", "10.0.0.1/8"], "--trusted-proxy: .*has host bits set"),
    ],
)
def test_half_of_what_belongs_together_is_refused(arguments: list[str], words: str) -> None:
    with pytest.raises(Mistake, match=words):
        read_options(arguments, workspace="w")


def test_a_certificate_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.pem").write_text("no certificate")

    with pytest.raises(Mistake, match=r"--tls-cert .*c\.pem"):
        Certificate(certificate=tmp_path / "c.pem", key=tmp_path / "none.pem").check()


def test_behind_a_proxy_everyone_would_be_an_owner_without_tokens() -> None:
    with pytest.raises(Mistake, match="--trusted-proxy: everyone behind the proxy would be an owner"):
        read_options(["--insecure-local", "--trusted-proxy", "10.0.0.1"], workspace="w").check()


def test_roots_may_be_given_together_and_apart(tmp_path: Path) -> None:
    options = read_options(["--allow-root", "/a", "/b", "--allow-root", "/c"], workspace=str(tmp_path))

    assert options.allowed_roots == (Path("/a"), Path("/b"), Path("/c"))
    assert options.workspace == str(tmp_path)


def test_a_store_that_loses_changes_is_no_workspace(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(MemoryStore):
        def create(self, path: str, data: bytes) -> None:
            try:
                super().create(path, data)
            except AlreadyExists:
                self.replace(path, data)

    store = Forgetful("memory://forgetful")
    monkeypatch.setattr(service, "open_store", lambda _url: store)

    with pytest.raises(Mistake, match="ignores create-if-absent, so changes could get lost"):
        open_workspace("memory://forgetful")
    assert list(store.list()) == []


def test_a_server_that_nobody_could_enter_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRISTMILL_REDIS_URL", "redis://127.0.0.1:1")

    assert main(["--workspace", str(tmp_path), "--port", "0"]) == 2
    assert "nobody could enter" in capsys.readouterr().err


def test_a_server_that_is_too_old_for_the_workspace_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRISTMILL_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setattr(versions, "PROTOCOL", 5)
    open_workspace(str(tmp_path))
    monkeypatch.setattr(versions, "PROTOCOL", 3)

    assert main(["--workspace", str(tmp_path), "--port", "0", "--insecure-local"]) == 2

    line = capsys.readouterr().err.strip()
    assert line.startswith(f"error: --workspace {tmp_path}: Gristmill ")
    assert line.endswith("(protocol 3): upgrade this server")


def test_a_server_without_a_redis_server_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GRISTMILL_REDIS_URL", raising=False)

    assert main(["--workspace", str(tmp_path)]) == 2
    assert "GRISTMILL_REDIS_URL is not set" in capsys.readouterr().err


def test_help_has_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])

    assert "python -m gristmill_scheduler.service --workspace" in capsys.readouterr().out
