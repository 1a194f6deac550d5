from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gristmill_workers.scorer import outbox, protocol


@pytest.fixture
def box(tmp_path: Path) -> Iterator[tuple[outbox.Outbox, Any]]:
    descriptor = os.open(tmp_path / "pipe", os.O_CREAT | os.O_RDWR)

    def frames() -> list[protocol.Frame]:
        return protocol.FrameReader().feed((tmp_path / "pipe").read_bytes())

    yield outbox.Outbox(descriptor), frames
    os.close(descriptor)


def test_results_are_gathered(box: tuple[outbox.Outbox, Any]) -> None:
    sender, frames = box
    sender.begin()
    sender.add({"n": 1}, b"a\n")
    sender.add({"n": 2}, b"b\n")
    assert frames() == []

    sender.flush()
    sender.flush()

    assert frames() == [({"type": "results", "results": [{"n": 1}, {"n": 2}]}, b"a\nb\n")]


def test_many_bytes_do_not_wait(box: tuple[outbox.Outbox, Any]) -> None:
    sender, frames = box
    sender.begin()
    sender.add({"n": 1}, b"x" * outbox.FLUSH_BYTES)

    assert [header["results"] for header, _ in frames()] == [[{"n": 1}]]


def test_time_does_not_wait(box: tuple[outbox.Outbox, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    sender, frames = box
    now = [100.0]
    monkeypatch.setattr(outbox, "monotonic", lambda: now[0])
    sender.begin()
    sender.add({"n": 1}, b"")
    assert frames() == []

    now[0] += 2 * outbox.FLUSH_SECONDS
    sender.add({"n": 2}, b"")

    assert len(frames()) == 1


def done(number: int, **changes: Any) -> dict[str, Any]:
    told = {"n": number, "outcome": "done", "items": 2, "succeeded": 2, "rows": 2, "seconds": 2e-5, "writing": 1e-6}
    return {**told, "bytes": 2, "columns": ["a"], "encoding": "csv", "errors": [], "files": [], **changes}


def test_results_of_which_nothing_failed_are_told_by_column_where_they_may_be(box: tuple[outbox.Outbox, Any]) -> None:
    sender, frames = box
    for together in (True, False):
        sender.begin(together=together)
        sender.add(done(1), b"a\n")
        sender.add(done(2), b"b\n")
        sender.flush()

    columns, one_by_one = frames()
    assert columns == (
        {"type": "scored", "n": [1, 2], "rows": [2, 2], "us": [20, 20], "bytes": [2, 2], "encoding": "csv",
         "columns": ["a"], "writing": 2},
        b"a\nb\n",
    )  # fmt: skip
    assert one_by_one == ({"type": "results", "results": [done(1), done(2)]}, b"a\nb\n")


@pytest.mark.parametrize(
    "odd", [{"outcome": "failed"}, {"succeeded": 1}, {"errors": [{}]}, {"files": ["x"]}, {"spool": "/s"}]
)
def test_a_result_of_another_kind_is_told_apart_and_in_its_place(
    box: tuple[outbox.Outbox, Any], odd: dict[str, Any]
) -> None:
    sender, frames = box
    sender.begin(together=True)
    for number, changes in [(1, {}), (2, odd), (3, {}), (4, {"columns": ["b"]})]:
        sender.add(done(number, **changes), b"")
    sender.flush()

    assert [header.get("n") or header["results"][0]["n"] for header, _ in frames()] == [[1], 2, [3], [4]]
