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
