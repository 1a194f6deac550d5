"""An audit line for each change, and nothing secret in it."""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter

from gristmill_scheduler.http.audit import AuditLog
from gristmill_scheduler.http.auth import OWNER


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]


def test_each_change_leaves_a_line_and_a_look_none(make_world: Any) -> None:
    world = make_world()
    ann, bob = world.token("owner", name="ann"), world.token("reader", name="bob")

    world.ask("PUT", "/computes/c?x=secret", ann, json={"tags": {"secret": "secret"}})
    world.ask("GET", "/computes", ann)
    world.ask("DELETE", "/computes/c", bob)

    done, refused = lines(world.audit)
    assert datetime.fromisoformat(done.pop("time")).tzinfo == UTC
    assert done == {
        "who": "ann",
        "way": "token",
        "from": "testclient",
        "what": "compute_create_or_update",
        "resource": "/computes/c",
        "made": "/c",
        "version": "1",
        "status": 201,
        "outcome": "done",
    }
    assert (refused["who"], refused["what"], refused["outcome"]) == ("bob", "compute_delete", "refused")


def test_nothing_secret_is_written_down(make_world: Any, caplog: pytest.LogCaptureFixture) -> None:
    world = make_world()
    owner = world.token("owner")

    with caplog.at_level("DEBUG", logger="gristmill"):
        made = world.ask("POST", "/tokens", owner, json={"name": "ci", "roles": ["reader"]}).json()
        world.ask("DELETE", f"/tokens/{made['id']}", owner)
        world.ask("DELETE", "/computes/c", f"{made['token']}x")

    written = json.dumps(lines(world.audit)) + caplog.text
    assert "token_create" in written
    assert f"/tokens/{made['id']}" in written
    for token in (owner, made["token"]):
        assert token.split("_", 2)[2] not in written


def test_the_line_is_there_when_the_answer_is(make_world: Any) -> None:
    world = make_world(insecure_local=True)
    for number in range(1, 4):
        world.ask("PUT", f"/computes/c{number}", json={})
        assert len(lines(world.audit)) == number


def test_a_change_that_fails_in_its_middle_leaves_a_line(make_world: Any) -> None:
    router = APIRouter()

    @router.post("/fail", operation_id="fail", dependencies=[OWNER])
    def fail() -> None:
        raise RuntimeError

    world = make_world(more=[router], insecure_local=True)
    assert world.ask("POST", "/fail").status_code == 500

    assert [(line["what"], line["status"], line["outcome"]) for line in lines(world.audit)] == [
        ("fail", 500, "refused")
    ]


def test_lines_are_kept_by_day_for_their_owner_alone(tmp_path: Path) -> None:
    days = iter([datetime(2026, 1, 31, 23, tzinfo=UTC), datetime(2026, 2, 1, tzinfo=UTC)])
    audit = AuditLog(tmp_path / "audit", now=lambda: next(days))
    audit.write({"n": 1})
    audit.write({"n": "a\nb"})

    files = sorted((tmp_path / "audit").iterdir())
    assert [path.name for path in files] == ["2026-01-31.jsonl", "2026-02-01.jsonl"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    assert [line["n"] for line in lines(tmp_path / "audit")] == [1, "a\nb"]


def test_a_disk_that_refuses_the_line_refuses_no_request(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "audit").touch()

    AuditLog(tmp_path / "audit").write({"n": 1})

    assert "an audit line cannot be written" in caplog.text
