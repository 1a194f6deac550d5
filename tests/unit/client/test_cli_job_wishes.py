from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gristmill import asking
from gristmill.cli.main import main

STANDING: dict[str, Any] = {
    "name": "j",
    "status": "Running",
    "detail": "",
    "error": None,
    "mini_batches": {"planned": 10, "plan_closed": False, "done": 4},
    "items": {"succeeded": 1200, "failed": 3},
    "rows": 1200,
    "output": None,
    "summary": None,
    "errors": None,
    "input": "/in",
    "folder": "/out/.gristmill/j",
    "running": True,
    "wished": True,
}


class Asked:
    """Stands in for the process that is asked; keeps what it was asked."""

    def __init__(self) -> None:
        self.answer = dict(STANDING)
        self.calls: list[tuple[str, ...]] = []

    def __call__(self, action: str, folder: str, *arguments: str) -> dict[str, Any]:
        self.calls.append((action, folder, *arguments))
        return self.answer


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    asked = Asked()
    monkeypatch.setattr(asking, "ask", asked)
    return asked


URL = "s3://b/out/.gristmill/j"


def test_show_prints_what_a_person_wants_to_know(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    asked.answer |= {"error": {"class": "X", "message": "no luck"}, "status": "Failed", "output": "/out/p.csv"}

    assert main(["job", "show", URL]) == 0
    assert capsys.readouterr().out == (
        "j: Failed\n  error    no luck\n  items    1,200 succeeded, 3 failed, 4 of 10+ mini-batches\n"
        "  output   /out/p.csv\n  folder   /out/.gristmill/j\n"
    )
    assert asked.calls == [("show", URL)]


def test_show_prints_a_document_where_one_is_asked_for(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["job", "show", URL, "--query", "items.failed"]) == 0
    assert capsys.readouterr().out == "3\n"


@pytest.mark.parametrize("action", ["pause", "unpause"])
def test_a_wish_is_passed_on(asked: Asked, action: str) -> None:
    assert main(["job", action, URL]) == 0
    assert asked.calls == [(action, URL)]


@pytest.mark.parametrize("action", ["pause", "unpause"])
def test_a_job_that_nobody_runs_takes_no_wish(asked: Asked, action: str, capsys: pytest.CaptureFixture[str]) -> None:
    asked.answer |= {"wished": False, "status": "Completed"}

    assert main(["job", action, URL]) == 2
    assert capsys.readouterr().err == f"error: nobody runs job j (Completed); there is nothing to {action}\n"


def test_cancel_says_who_asks_and_waits_a_minute(asked: Asked) -> None:
    asked.answer |= {"status": "Canceled"}

    assert main(["job", "cancel", URL]) == 0
    ((action, folder, by, who, *more),) = asked.calls
    assert (action, folder, by, more) == ("cancel", URL, "--by", ["--wait", "60"])
    assert who.endswith("`gristmill job cancel`")


def test_cancel_need_not_wait(asked: Asked) -> None:
    assert main(["job", "cancel", URL, "--no-wait", "--keep-partial"]) == 0
    assert asked.calls[0][4:] == ("--keep-partial",)


def test_a_job_that_does_not_end_in_time_is_an_error(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["job", "cancel", URL]) == 1
    assert "not ended after 60 s" in capsys.readouterr().err


def test_cancelling_what_nobody_runs_is_done_already(asked: Asked, capsys: pytest.CaptureFixture[str]) -> None:
    asked.answer |= {"wished": False, "status": "Interrupted", "running": False}

    assert main(["job", "cancel", URL]) == 0
    captured = capsys.readouterr()
    assert captured.err == "nobody runs job j; there is nothing to cancel\n"
    assert captured.out.startswith("j: Interrupted\n")


def test_nothing_failed_is_said_and_no_error(asked: Asked, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    asked.answer |= {"status": "Completed", "items": {"succeeded": 3, "failed": 0}}

    assert main(["job", "retry-failed", URL]) == 0
    assert capsys.readouterr().out == "j: no item failed; there is nothing to try again\n"


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 1)])
def test_verify_names_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ok: bool, code: int
) -> None:
    found = {"job": "j", "ok": ok, "checked": {"mini_batches": 3, "files": 0}, "faults": [] if ok else ["a", "b"]}
    monkeypatch.setattr(asking, "verify", lambda _folder: found)

    assert main(["job", "verify", URL]) == code
    expected = ["j: everything is in its place"] if ok else ["j: 2 faults", "  a", "  b"]
    assert capsys.readouterr().out.splitlines() == [*expected, "  checked  3 mini-batches"]
