from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from gristmill.cli import status


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("-n nightly", {"roles": ["invoker"], "endpoints": ["*"], "expires_in": None}),
        ("-n nightly --role owner --expires-in 90d", {"roles": ["owner"], "endpoints": ["*"], "expires_in": 7776000.0}),
        (
            "-n nightly --endpoint a b --endpoint c --expires-in 1.5h",
            {"roles": ["invoker"], "endpoints": ["a", "b", "c"], "expires_in": 5400.0},
        ),
        ("-n nightly --expires-in 90", {"roles": ["invoker"], "endpoints": ["*"], "expires_in": 90.0}),
    ],
)
def test_a_token_is_made(does: Callable[..., Any], service: Any, words: str, given: dict[str, Any]) -> None:
    service.answers["tokens.create"] = {"id": "1", "token": "gm_1_x"}
    assert does(f"token create {words}") == [("tokens.create", {"name": "nightly", **given})]


def test_what_was_made_is_printed_once(run: Callable[..., Any], service: Any) -> None:
    service.answers["tokens.create"] = {"id": "1", "token": "gm_1_x"}
    ran = run("token", "create", "-n", "x", "--query", "token", "-o", "tsv")
    assert (ran.out, ran.err) == ("gm_1_x\n", "the token is shown this once\n")


@pytest.mark.parametrize("words", ["--expires-in 0", "--expires-in soon", "--role boss"])
def test_what_no_token_can_be_is_refused(run: Callable[..., Any], service: Any, words: str) -> None:
    assert run("token", "create", "-n", "x", *words.split()).code == 2
    assert service.calls == []


def test_tokens_are_listed_with_their_roles_and_endpoints(run: Callable[..., Any], service: Any) -> None:
    token = {"id": "1", "name": "x", "roles": ["reader", "owner"], "endpoints": ["*"], "expires": None}
    service.answers["tokens.list"] = [token]
    assert run("token", "list").document == [token]
    assert run("token", "list", "-o", "table").out.splitlines()[2].split() == ["1", "x", "reader,", "owner", "*"]


def test_a_token_is_deleted_when_that_is_meant(run: Callable[..., Any], service: Any) -> None:
    assert run("token", "delete", "--id", "1").code == 2
    assert service.calls == []
    assert run("token", "delete", "--id", "1", "--yes").code == 0
    assert service.calls == [("tokens.delete", {"token_id": "1"})]


def test_the_status_is_shown_as_a_person_reads_it() -> None:
    node = {"host": "box", "compute": "gpu", "slots": 2, "running": ["j", None], "since": "today", "age_seconds": 1.2}
    text = status.page(
        {
            "url": "http://server",
            "workspace": "/w",
            "redis": True,
            "nodes": [node],
            "queues": [{"compute": "gpu", "waiting": 3}],
            "jobs": {"Running": 1, "Failed": 0},
        }
    )
    lines = [line.split() for line in text.splitlines()]
    assert ["box", "gpu", "1", "of", "2", "j", "today", "1", "s", "ago"] in lines
    assert ["gpu", "3"] in lines
    assert ["Running", "1"] in lines
    assert "Failed" not in text


def test_the_status_says_who_speaks_what_and_who_cannot_work_together() -> None:
    nodes = [
        {"host": "a", "version": "0.1.0", "address": "10.0.0.5", "compute": "gpu", "slots": 1, "running": [None]},
        {"host": "b", "version": "9.9.0", "compute": "gpu", "slots": 1, "running": [None], "problem": "b: upgrade it"},
    ]
    text = status.page({"url": "http://server", "version": "0.2.0", "redis": True, "nodes": nodes})
    lines = text.splitlines()
    assert lines[0] == "server:    http://server (Gristmill 0.2.0)"
    assert ["a", "10.0.0.5", "0.1.0", "gpu"] in [line.split()[:4] for line in lines]
    assert ["b", "9.9.0", "gpu"] in [line.split()[:3] for line in lines]
    assert lines.count("problem: b: upgrade it") == 1


def test_the_status_says_what_is_not_there() -> None:
    text = status.page(
        {"url": "http://server", "registry": None, "redis": False, "nodes": [], "queues": [], "jobs": {}}
    )
    assert "redis:     does not answer" in text
    assert "models:    by their paths only" in text
    assert "no nodes: nothing can be scored" in text
    assert "no jobs" in text


@pytest.mark.parametrize(
    ("answers", "words"), [(True, "//m"), (False, "//m (does not answer)"), (None, "not known yet")]
)
def test_the_status_says_whether_the_registry_answers(answers: bool | None, words: str) -> None:
    text = status.page({"url": "http://server", "registry": {"address": "http://m", "answers": answers}, "redis": True})
    [line] = [line for line in text.splitlines() if line.startswith("models:")]
    assert words in line
    assert line.endswith(words) or answers is None
