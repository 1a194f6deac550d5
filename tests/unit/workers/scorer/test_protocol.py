from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator

import pytest

from gristmill_workers.scorer import protocol


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        with contextlib.suppress(OSError):
            os.close(descriptor)


@pytest.fixture
def progress() -> Iterator[protocol.Progress]:
    with tempfile.TemporaryFile() as memory:
        memory.truncate(protocol.PROGRESS_SIZE)
        found = protocol.Progress(memory.fileno())
        yield found
        found.close()


FRAMES = [
    ({"type": "run", "name": "caf\udce9 ü\n"}, b""),
    ({"type": "results"}, b"\x00rows\n" * 1000),
    ({"type": "stop"}, b""),
]


def test_frames_come_back_as_they_went(pipe: tuple[int, int]) -> None:
    for header, payload in FRAMES:
        protocol.write_frame(pipe[1], header, payload)
    os.close(pipe[1])

    assert [protocol.read_frame(pipe[0]) for _ in range(4)] == [*FRAMES, None]


@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
def test_frames_are_cut_out_of_any_pieces(size: int) -> None:
    data = b"".join(protocol.encode(header, payload) + payload for header, payload in FRAMES)
    reader = protocol.FrameReader()

    found = [frame for start in range(0, len(data), size) for frame in reader.feed(data[start : start + size])]

    assert found == FRAMES


@pytest.mark.parametrize("data", [b"\xff" * 12, protocol.HEAD.pack(2, 0) + b"[]", protocol.HEAD.pack(2, 0) + b"{]"])
def test_nonsense_is_no_frame(pipe: tuple[int, int], data: bytes) -> None:
    with pytest.raises(protocol.ProtocolError):
        protocol.FrameReader().feed(data)
    os.write(pipe[1], data)
    with pytest.raises(protocol.ProtocolError):
        protocol.read_frame(pipe[0])


def test_half_a_frame_is_an_end(pipe: tuple[int, int]) -> None:
    os.write(pipe[1], protocol.encode({"type": "stop"})[:-1])
    os.close(pipe[1])

    assert protocol.read_frame(pipe[0]) is None


def test_a_large_payload_is_written_whole(pipe: tuple[int, int]) -> None:
    with tempfile.TemporaryFile() as file:
        payload = os.urandom(1 << 20)
        protocol.write_frame(file.fileno(), {"type": "results"}, payload)
        file.seek(0)

        assert protocol.FrameReader().feed(file.read()) == [({"type": "results"}, payload)]
    assert json.loads(protocol.encode({"type": "x"})[protocol.HEAD.size :]) == {"type": "x"}


def test_the_progress_memory_tells_where_the_scorer_is(progress: protocol.Progress) -> None:
    assert progress.read() == (None, 0.0)
    assert progress.culprit() is None

    progress.enter(0)
    assert (progress.read()[0], progress.culprit()) == (0, 0)
    progress.wrap_up(0)
    assert (progress.read()[0], progress.culprit()) == (None, 0)
    progress.enter(7)
    assert (progress.read()[0], progress.culprit()) == (7, 7)
    progress.leave()
    assert (progress.read()[0], progress.culprit()) == (None, None)
