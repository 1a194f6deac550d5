"""References to secrets in addresses, and what becomes of them on a machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gristmill.errors import Mistake
from gristmill_storage import credentials
from gristmill_storage.store import without_secrets

KEYS = {"aws_access_key_id": "AKIA1", "aws_secret_access_key": "hush-hush"}
KEY = "A" * 86 + "=="
ROBOT = {"type": "service_account", "client_email": "a@b", "private_key": "hush-hush", "token_uri": "https://t"}


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of secrets of this machine."""
    monkeypatch.setenv("GRISTMILL_SECRETS", str(tmp_path))
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("root", "given", "address"),
    [
        ("s3://box/in", {"environment": "TEAM_A"}, "s3://$TEAM_A@box/in"),
        ("s3://box/in", {"file": "team-a.json"}, "s3://team-a.json@box/in"),
        ("gs://box", {"file": "/run/a b:c"}, "gs://%2Frun%2Fa%20b%3Ac@box"),
        ("abfs://c@acc.dfs.core.windows.net", {"environment": "K"}, "abfs://$K@c@acc.dfs.core.windows.net"),
    ],
)
def test_an_address_carries_where_its_secret_is_found(root: str, given: dict[str, str], address: str) -> None:
    reference = f"${given['environment']}" if "environment" in given else given["file"]

    assert credentials.referring(root, given) == without_secrets(address) == address
    assert credentials.parted(address) == (reference, root)
    assert credentials.plain(f"{address}/x@y") == f"{root}/x@y"


@pytest.mark.parametrize(
    "address",
    [
        "s3://box/a@b",
        "abfs://c@acc.dfs.core.windows.net/x",
        "s3://key:hush@box/x",
        "https://me@host/x",
        "/a/b@c",
        "gs://b",
    ],
)
def test_other_addresses_carry_none(address: str) -> None:
    assert credentials.parted(address) == ("", address)


def test_a_datastore_without_a_secret_keeps_its_address() -> None:
    assert credentials.referring("s3://box", {}) == "s3://box"
    assert credentials.referring("abfs://c@a.dfs.x", {"tenant_id": "t"}) == "abfs://c@a.dfs.x"
    assert credentials.referring("/data", {"file": "a.json"}) == "/data"


@pytest.mark.parametrize(
    ("url", "secret", "options"),
    [
        ("s3://b", KEYS, {"key": "AKIA1", "secret": "hush-hush"}),
        (
            "s3://b",
            {**KEYS, "aws_session_token": "t", "region": "eu-1", "endpoint_url": "http://minio"},
            {
                "key": "AKIA1",
                "secret": "hush-hush",
                "token": "t",
                "endpoint_url": "http://minio",
                "client_kwargs": {"region_name": "eu-1"},
            },
        ),
        ("gs://b", ROBOT, {"token": ROBOT}),
        ("abfs://c@a.dfs.core.windows.net", {"account_key": KEY}, {"account_key": KEY}),
        (
            "abfs://c@a.dfs.core.windows.net",
            {"tenant_id": "t", "client_id": "c", "client_secret": "hush-hush"},
            {"tenant_id": "t", "client_id": "c", "client_secret": "hush-hush"},
        ),
    ],
)
def test_a_secret_becomes_what_its_driver_takes(
    secrets: Path, monkeypatch: pytest.MonkeyPatch, url: str, secret: dict[str, str], options: dict[str, object]
) -> None:
    path = write(secrets / "a.json", json.dumps(secret))
    monkeypatch.setenv("TEAM_A", json.dumps(secret))

    assert credentials.options(url, "a.json") == credentials.options(url, str(path)) == options
    assert credentials.options(url, "$TEAM_A") == options


def test_yaml_and_azures_single_words_do_too(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(secrets / "a.yaml", "aws_access_key_id: AKIA1\naws_secret_access_key: 12345\n")
    assert credentials.options("s3://b", "a.yaml") == {"key": "AKIA1", "secret": "12345"}
    for text, found in [(KEY, {"account_key": KEY}), ("?sv=1&sig=x%3D", {"sas_token": "?sv=1&sig=x%3D"})]:
        monkeypatch.setenv("K", text)
        assert credentials.options("abfs://c@a.dfs.x", "$K") == found


def test_a_secret_that_changed_is_heeded(secrets: Path) -> None:
    write(secrets / "a.json", json.dumps(KEYS))
    assert credentials.options("s3://b", "a.json")["key"] == "AKIA1"
    write(secrets / "a.json", json.dumps({**KEYS, "aws_access_key_id": "AKIA2"}))
    assert credentials.options("s3://b", "a.json")["key"] == "AKIA2"


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("s3://b", "hush-hush"),
        ("s3://b", "hush-hush: 1"),
        ("s3://b", json.dumps({**KEYS, "hush-hush": "x"})),
        ("s3://b", "{hush-hush"),
        ("s3://b", '["hush-hush"]'),
        ("gs://b", json.dumps({**ROBOT, "type": "external_account", "credential_source": {"executable": "hush-hush"}})),
        # Neither a key nor a signature: it may be another's secret, and would be sent to the address as it is.
        ("abfs://c@a.dfs.x", "hush-hush"),
    ],
)
def test_what_is_no_secret_for_the_store_is_refused_and_never_shown(
    monkeypatch: pytest.MonkeyPatch, url: str, text: str
) -> None:
    monkeypatch.setenv("TEAM_A", text)
    with pytest.raises(Mistake, match=r"credentials \$TEAM_A: this is no secret for") as refused:
        credentials.options(url, "$TEAM_A")
    assert "hush" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("$NOT_SET", "no such variable"),
        ("gone.json", "gone.json cannot be read"),
        ("open.json", "is open to all"),
        ("binary.json", "is no text"),
        ("../a.json", "write the name of a file"),
        ("team-a", "write the name of a file"),
    ],
)
def test_a_machine_without_the_secret_says_so(secrets: Path, reference: str, message: str) -> None:
    write(secrets / "open.json", json.dumps(KEYS)).chmod(0o644)
    write(secrets / "binary.json", "").write_bytes(b"\xff\xfe")
    with pytest.raises(Mistake, match=message):
        credentials.options("s3://b", reference)
