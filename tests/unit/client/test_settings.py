from __future__ import annotations

import ast
from pathlib import Path

import pytest

import gristmill
from gristmill.errors import InvalidSetting
from gristmill.settings import DEFAULT_LEASE_SECONDS, NAMES, ProcessSettings, secrets_folder


def test_nothing_set_gives_the_defaults() -> None:
    settings = ProcessSettings.read({"HOME": "/home/me"})

    assert settings.redis_url == ""
    assert settings.cache == Path("/home/me/.cache/gristmill")
    assert settings.scratch is None
    assert settings.lease_seconds == DEFAULT_LEASE_SECONDS
    assert settings.node_name
    assert settings.pythons == ()


def test_everything_set_is_read() -> None:
    given = {
        "GRISTMILL_REDIS_URL": "redis://h/1",
        "GRISTMILL_CACHE": "/cache",
        "GRISTMILL_SCRATCH": "/scratch",
        "GRISTMILL_LEASE_SECONDS": "2.5",
        "GRISTMILL_STORAGE_PATIENCE_SECONDS": "0.5",
        "GRISTMILL_GRACE_SECONDS": "90",
        "GRISTMILL_SLICE_SECONDS": "5",
        "GRISTMILL_NODE_NAME": "left",
        "GRISTMILL_PYTHONS": "/a:/b/python3:",
        "GRISTMILL_LOG_FORMAT": "json",
        "GRISTMILL_LOG_LEVEL": "Debug",
        "GRISTMILL_URL": "http://h:1",
        "GRISTMILL_TOKEN": "secret",
        "GRISTMILL_WORKSPACE": "s3://b/w",
        "GRISTMILL_TRACKING": "off",
        "GRISTMILL_ALLOW_HOSTS": "files.corp, 10.1.0.0/16",
        "GRISTMILL_KEEP_INPUTS_DAYS": "0.5",
        "GRISTMILL_SECRETS": "/secrets",
        "GRISTMILL_PULSE_FILE": "/run/pulse",
        "GRISTMILL_KEEP_SCORERS_SECONDS": "86400",
    }
    settings = ProcessSettings.read(given)

    assert (settings.slice_seconds, settings.keep_inputs_days, settings.keep_scorers_seconds) == (5, 0.5, 86400)
    assert set(given) == set(NAMES)
    assert (settings.redis_url, settings.cache, settings.scratch) == ("redis://h/1", Path("/cache"), Path("/scratch"))
    assert (settings.lease_seconds, settings.node_name, settings.pythons) == (2.5, "left", ("/a", "/b/python3"))
    assert (settings.storage_patience, settings.grace_seconds) == (0.5, 90.0)
    assert (settings.url, settings.token, settings.workspace) == ("http://h:1", "secret", "s3://b/w")
    assert not settings.tracking
    assert settings.allow_hosts == ("files.corp", "10.1.0.0/16")
    assert (settings.log_format, settings.log_level) == ("json", "debug")
    assert "secret" not in repr(settings)
    assert settings.environment == given


@pytest.mark.parametrize("url", ["http://h:1", "h:6379", "redis://:secret@h:99999/0", "redis://[::1", "me:secret@h"])
def test_an_address_that_is_none_of_a_redis_server_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(InvalidSetting, match=r"^GRISTMILL_REDIS_URL=.*: give redis://") as caught:
        ProcessSettings.read({"GRISTMILL_REDIS_URL": url})

    assert "secret" not in str(caught.value)


def test_secrets_of_stores_lie_beside_the_users_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRISTMILL_SECRETS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/x")
    assert secrets_folder() == Path("/x/gristmill/secrets")
    monkeypatch.setenv("GRISTMILL_SECRETS", "/run/secrets")
    assert secrets_folder() == Path("/run/secrets")


def test_jobs_are_runs_unless_it_is_turned_off() -> None:
    assert ProcessSettings.read({}).tracking
    assert ProcessSettings.read({"GRISTMILL_TRACKING": "On"}).tracking
    with pytest.raises(InvalidSetting, match="GRISTMILL_TRACKING=maybe: give on or off"):
        ProcessSettings.read({"GRISTMILL_TRACKING": "maybe"})


def test_the_workspace_follows_xdg() -> None:
    assert ProcessSettings.read({"XDG_DATA_HOME": "/x", "HOME": "/h"}).workspace == "/x/gristmill/workspace"
    assert ProcessSettings.read({"HOME": "/h"}).workspace == "/h/.local/share/gristmill/workspace"


def test_the_cache_follows_xdg() -> None:
    assert ProcessSettings.read({"XDG_CACHE_HOME": "/x", "HOME": "/h"}).cache == Path("/x/gristmill")


@pytest.mark.parametrize("text", ["1.9", "601", "soon", "nan", "-3"])
def test_a_lease_out_of_range_is_refused_by_name(text: str) -> None:
    with pytest.raises(InvalidSetting, match=f"GRISTMILL_LEASE_SECONDS={text}: give a number of seconds from 2 to 600"):
        ProcessSettings.read({"GRISTMILL_LEASE_SECONDS": text})


@pytest.mark.parametrize("text", ["-1", "86401", "long"])
def test_scorers_are_kept_for_a_day_at_most(text: str) -> None:
    words = f"GRISTMILL_KEEP_SCORERS_SECONDS={text}: give a number of seconds from 0 to 86400"
    with pytest.raises(InvalidSetting, match=words):
        ProcessSettings.read({"GRISTMILL_KEEP_SCORERS_SECONDS": text})


def test_the_process_environment_is_what_is_read_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRISTMILL_NODE_NAME", "right")

    assert ProcessSettings.read().node_name == "right"


def test_no_other_module_of_the_client_reads_the_environment() -> None:
    root = Path(gristmill.__file__).parent
    readers = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv", "environb"}
    }

    readers.remove("local/ahead.py")  # hands all of it on to who waits, and looks at nothing
    assert readers == {"settings.py"}
