from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gristmill.errors import Mistake
from gristmill.service.connection import Connection, find_server, forget_login, login_file, save_login
from gristmill.settings import ProcessSettings

Read = Callable[..., ProcessSettings]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def call(**variables: str) -> ProcessSettings:
        return ProcessSettings.read({"HOME": str(tmp_path), **variables})

    return call


@pytest.fixture
def up(tmp_path: Path) -> Callable[..., str]:
    """Leave what `gristmill up` leaves; return the workspace."""

    def call(pid: int = os.getpid(), url: str = "http://127.0.0.1:8000", mode: int = 0o600, **more: str) -> str:
        run = tmp_path / "workspace" / "run"
        run.mkdir(parents=True)
        (run / "token").write_text("of-up\n")
        (run / "token").chmod(mode)
        document = {"url": url, "pid": pid, "token_file": str(run / "token"), **more}
        (run / "server.json").write_text(json.dumps(document))
        return str(run.parent)

    return call


def test_without_any_server_the_message_says_how_to_get_one(read: Read) -> None:
    with pytest.raises(Mistake, match=r"^no server: start one with gristmill up, or give GRISTMILL_URL$"):
        find_server(settings=read())


def test_what_is_given_comes_first(read: Read) -> None:
    settings = read(GRISTMILL_URL="http://b:1", GRISTMILL_TOKEN="of-b")

    found = find_server("http://a:1/", "of-a", settings=settings)

    assert (found.url, found.token) == ("http://a:1", "of-a")


def test_the_environment_comes_before_a_login(read: Read) -> None:
    settings = read(GRISTMILL_URL="https://b", GRISTMILL_TOKEN="of-b")
    save_login(settings, "https://c", "of-c")

    found = find_server(settings=settings)

    assert (found.url, found.token, found.source) == ("https://b", "of-b", "GRISTMILL_URL")


def test_a_login_comes_before_the_server_of_this_machine(read: Read, up: Callable[..., str]) -> None:
    settings = read(GRISTMILL_WORKSPACE=up())
    save_login(settings, "https://c", "of-c", ca_file="/ca.pem")

    found = find_server(settings=settings)

    assert (found.url, found.token, found.ca_file) == ("https://c", "of-c", "/ca.pem")


def test_the_server_of_this_machine_is_found_in_the_workspace(read: Read, up: Callable[..., str]) -> None:
    found = find_server(settings=read(GRISTMILL_WORKSPACE=up()))

    assert (found.url, found.token, found.source) == ("http://127.0.0.1:8000", "of-up", "gristmill up")


def test_a_server_of_this_machine_is_asked_where_it_surely_is(read: Read, up: Callable[..., str]) -> None:
    workspace = up(url="https://mine.example", near="https://127.0.0.1:8000", certificate="/run/certificate.pem")
    settings = read(GRISTMILL_WORKSPACE=workspace)

    found = find_server(settings=settings)
    assert (found.url, found.token, found.certificate) == ("https://127.0.0.1:8000", "of-up", "/run/certificate.pem")
    outside = find_server("https://mine.example", settings=settings)
    assert (outside.token, outside.certificate) == ("of-up", ""), "there may be a proxy, with a certificate of its own"
    assert find_server(settings=settings, ca_file="/ca.pem").certificate == ""


def test_a_server_of_this_machine_that_has_ended_is_none(read: Read, up: Callable[..., str]) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()

    with pytest.raises(Mistake, match="no server"):
        find_server(settings=read(GRISTMILL_WORKSPACE=up(pid=ended.pid)))


def test_a_workspace_elsewhere_names_no_server_of_this_machine(read: Read) -> None:
    with pytest.raises(Mistake, match="no server"):
        find_server(settings=read(GRISTMILL_WORKSPACE="s3://bucket/workspace"))


@pytest.mark.parametrize("known", ["environment", "login", "up"])
def test_a_token_is_not_sent_to_another_address(read: Read, up: Callable[..., str], known: str) -> None:
    variables = {"GRISTMILL_WORKSPACE": up(url="http://mine:8000")}
    if known == "environment":
        variables |= {"GRISTMILL_URL": "http://mine:8000", "GRISTMILL_TOKEN": "of-mine"}
    settings = read(**variables)
    if known == "login":
        save_login(settings, "http://mine:8000", "of-mine")

    assert find_server("http://other:8000", settings=settings).token == ""
    assert find_server("http://mine:8000/", settings=settings).token.startswith("of-")


def test_a_token_alone_in_the_environment_goes_to_the_address_that_is_given(read: Read) -> None:
    assert find_server("http://a:1", settings=read(GRISTMILL_TOKEN="of-a")).token == "of-a"


def test_a_token_alone_in_the_environment_does_not_go_to_a_login(read: Read) -> None:
    settings = read(GRISTMILL_TOKEN="of-nobody")
    save_login(settings, "https://c", "of-c")

    assert find_server(settings=settings).token == "of-c"


def test_an_address_in_the_environment_has_the_token_of_its_login(read: Read) -> None:
    settings = read(GRISTMILL_URL="https://c:443/")
    save_login(settings, "https://c", "of-c")

    assert find_server(settings=settings).token == "of-c"


def test_a_login_is_for_its_user_alone_and_can_be_forgotten(read: Read) -> None:
    settings = read(XDG_CONFIG_HOME=str(Path(read().config, "elsewhere")))

    path = save_login(settings, "https://c", "of-c")

    assert path == login_file(settings)
    assert path.stat().st_mode & 0o777 == 0o600
    assert "elsewhere/gristmill" in str(path)
    assert forget_login(settings)
    assert not forget_login(settings)
    with pytest.raises(Mistake, match="no server"):
        find_server(settings=settings)


def test_a_login_that_others_can_read_is_refused_with_the_fix(read: Read) -> None:
    settings = read()
    path = save_login(settings, "https://c", "of-c")
    path.chmod(0o644)

    with pytest.raises(Mistake) as caught:
        find_server(settings=settings)

    assert f"chmod 600 {path}" in caught.value.message
    assert "of-c" not in caught.value.message


def test_a_token_file_that_others_can_read_is_refused(read: Read, up: Callable[..., str]) -> None:
    with pytest.raises(Mistake, match="others can read the token"):
        find_server(settings=read(GRISTMILL_WORKSPACE=up(mode=0o640)))


def test_who_says_all_has_no_use_for_a_broken_login(read: Read) -> None:
    settings = read()
    save_login(settings, "https://c", "of-c").write_text("{")

    assert find_server("http://a:1", "of-a", settings=settings).url == "http://a:1"
    with pytest.raises(Mistake, match="not a JSON object"):
        find_server(settings=settings)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("host:8000", "give its address as http://host:port"),
        ("ftp://host", "give its address as"),
        ("http://", "give its address as"),
        ("http://host:port", "give its address as"),
        ("http://user:pa55@host", "give a token apart"),
        ("user:pa55@host", "give its address as"),
        ("http://host/?a=b", "an address ends before"),
    ],
)
def test_what_is_no_address_is_refused_without_its_password(read: Read, url: str, words: str) -> None:
    with pytest.raises(Mistake, match=words) as caught:
        find_server(url, settings=read())

    assert "pa55" not in caught.value.message


def test_a_token_that_cannot_be_sent_is_refused_and_not_shown(read: Read) -> None:
    with pytest.raises(Mistake, match="copy it again") as caught:
        find_server("http://a:1", "tök en", settings=read())

    assert "tök" not in caught.value.message


def test_no_token_is_shown() -> None:
    assert "s3cret" not in repr(Connection(url="http://a:1", token="s3cret"))
