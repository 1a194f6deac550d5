"""The server's own tokens: kept as hashes, expiring, deleted, and cached for a few seconds."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from gristmill.errors import Mistake, ResourceNotFound, Unauthorized
from gristmill_scheduler.http.token_file import keep_token_file
from gristmill_scheduler.http.tokens import CACHE_SECONDS, MOST_SECONDS, Grant, Tokens
from gristmill_storage.workspace import Workspace


class Clocks:
    """Two clocks that a test turns."""

    def __init__(self) -> None:
        self.seconds = 1000.0
        self.began = datetime(2026, 1, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return self.began + timedelta(seconds=self.seconds - 1000.0)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def tokens(workspace: Workspace, clocks: Clocks) -> Tokens:
    return Tokens(workspace.documents("tokens"), clock=clocks.monotonic, now=clocks.now)


GRANT = Grant(name="ann", roles=("reader", "invoker"), endpoints=("Mine",))


def test_a_token_says_whose_it_is(tokens: Tokens) -> None:
    _, token = tokens.make(GRANT, by="bob")

    found = tokens.check(token)

    assert (found.name, found.role, found.endpoints) == ("ann", "invoker", frozenset({"mine"}))


def test_nothing_that_is_kept_or_listed_holds_the_secret(tokens: Tokens, workspace: Workspace) -> None:
    _, token = tokens.make(GRANT, by="bob")
    secret = token.split("_", 2)[2]

    assert len(secret) >= 43
    kept = b"".join(workspace.store.read(entry.path) for entry in workspace.store.list())
    assert secret.encode() not in kept
    assert secret not in json.dumps(tokens.list())


def test_a_token_with_another_secret_is_refused(tokens: Tokens) -> None:
    name, token = tokens.make(GRANT, by="bob")
    _, other = tokens.make(GRANT, by="bob")

    with pytest.raises(Unauthorized, match="none of this server's"):
        tokens.check(f"gm_{name}_{other.split('_', 2)[2]}")
    assert tokens.check(token).name == "ann"


@pytest.mark.parametrize("token", ["gm_0123456789abcdef_" + "x" * 43, "gm_../../x_y", "", "gm_\0", "gm_é"])
def test_a_token_that_nobody_made_is_refused(tokens: Tokens, token: str) -> None:
    with pytest.raises(Unauthorized):
        tokens.check(token)


def test_a_token_stops_working_when_its_time_is_over(tokens: Tokens, clocks: Clocks) -> None:
    _, token = tokens.make(Grant(name="ann", roles=("reader",), expires_in=60), by="bob")
    clocks.seconds += 59
    tokens.check(token)
    clocks.seconds += 1

    with pytest.raises(Unauthorized, match="expired at 2026-01-01T00:01:00"):
        tokens.check(token)


def test_a_token_that_is_deleted_elsewhere_stops_working_within_seconds(
    tokens: Tokens, clocks: Clocks, workspace: Workspace
) -> None:
    name, token = tokens.make(GRANT, by="bob")
    tokens.check(token)
    Tokens(workspace.documents("tokens")).delete(name)

    assert tokens.at_hand(token) is not None
    clocks.seconds += CACHE_SECONDS
    assert tokens.at_hand(token) is None
    with pytest.raises(Unauthorized):
        tokens.check(token)


def test_a_token_that_is_deleted_here_stops_working_at_once(tokens: Tokens) -> None:
    name, token = tokens.make(GRANT, by="bob")
    tokens.check(token)
    tokens.delete(name)

    with pytest.raises(Unauthorized):
        tokens.at_hand(token)
    with pytest.raises(ResourceNotFound):
        tokens.delete(name)


@pytest.mark.parametrize("name", ["0123456789abcdef", "../x", "nul\0", "x" * 500])
def test_there_is_no_deleting_what_is_not_there(tokens: Tokens, name: str) -> None:
    with pytest.raises(ResourceNotFound, match="there is none"):
        tokens.delete(name)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "name: give 1 to 100"),
        ({"name": "a\nb"}, "name: give 1 to 100"),
        ({"name": 7}, "name: give 1 to 100"),
        ({"roles": []}, "roles: give a list"),
        ({"roles": "owner"}, "roles: give a list"),
        ({"roles": ["king"]}, "roles: 'king': give a list of reader, invoker, owner"),
        ({"endpoints": ["a/b"]}, "endpoints: 'a/b'"),
        ({"expires_in": 0}, "expires_in: 0"),
        ({"expires_in": True}, "expires_in: True"),
        ({"expires_in": MOST_SECONDS + 1}, "expires_in"),
        ({"rolse": ["owner"]}, "rolse: is unknown"),
    ],
)
def test_a_grant_that_cannot_be_used_is_refused_by_its_field(change: dict[str, Any], message: str) -> None:
    with pytest.raises(Mistake) as caught:
        Grant.read({"name": "ann", "roles": ["reader"], **change})

    assert caught.value.message.startswith(message)


def test_the_first_owners_token_is_written_for_its_user_alone(tokens: Tokens, tmp_path: Path) -> None:
    path = tmp_path / "run" / "token"

    keep_token_file(path, tokens)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert tokens.check(path.read_text().strip()).role == "owner"
    assert [file.name for file in path.parent.iterdir()] == ["token"]


def test_a_token_file_that_works_stays_and_one_that_does_not_is_made_anew(tokens: Tokens, tmp_path: Path) -> None:
    path = tmp_path / "token"
    keep_token_file(path, tokens)
    first = path.read_text()
    keep_token_file(path, tokens)
    assert path.read_text() == first

    tokens.delete(tokens.list()[0]["id"])
    keep_token_file(path, tokens)

    assert path.read_text() != first
    assert tokens.check(path.read_text().strip()).role == "owner"


def test_a_token_file_that_cannot_be_written_is_named(tokens: Tokens, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(Mistake, match=r"--token-file .*file/token: cannot be read or written"):
        keep_token_file(tmp_path / "file" / "token", tokens)
