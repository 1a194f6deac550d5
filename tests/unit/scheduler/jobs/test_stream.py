from __future__ import annotations

import asyncio
import base64
import json
import zlib
from contextlib import aclosing
from typing import Any

import pytest

from gristmill.errors import JobNotFound
from gristmill_scheduler.jobs import log_tail as log_tail_module
from gristmill_scheduler.jobs import stream as stream_module
from gristmill_scheduler.jobs.log_tail import LogTail, sizes
from gristmill_scheduler.jobs.stream import Streams
from gristmill_storage.files import open_store

BODY = {"input": {"path": "azureml:data:1"}}
STDOUT = "logs/user/stdout/n/process000.stdout.txt"


def pack(told: Any) -> str:
    """Return a place that says what a test wants."""
    return base64.urlsafe_b64encode(zlib.compress(json.dumps(told, separators=(",", ":")).encode())).decode()


def bomb() -> str:
    """Return a place that is small, and large when it is unpacked."""
    return base64.urlsafe_b64encode(zlib.compress(b'{"a":1' + b" " * 3_000_000 + b"}")).decode()


@pytest.fixture(autouse=True)
def _soon(monkeypatch) -> None:
    monkeypatch.setattr(stream_module, "TICK_SECONDS", 0.01)


@pytest.fixture
def folder(tmp_path):
    return open_store(str(tmp_path / "job"))


class Job:
    """A job that a test moves on."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = {"status": "Running", "detail": "", "progress": None, "ended": None}
        self.looks = 0

    def __call__(self) -> dict[str, Any]:
        self.looks += 1
        return dict(self.document)


async def take(events, count: int) -> list[Any]:
    found = [await asyncio.wait_for(anext(events), 10) for _ in range(count)]
    return [(event, {name: value for name, value in each.items() if name != "place"}) for event, each in found]


def test_what_happens_is_told_in_order_and_ends_with_the_document(folder) -> None:
    job, progress = Job(), {"items": {"succeeded": 1}, "elapsed": 1.0}

    async def listen() -> None:
        async with aclosing(Streams().follow("j", folder, job)) as events:
            assert await take(events, 1) == [("status", {"status": "Running", "detail": ""})]
            folder.replace(STDOUT, b"one\ntw")
            assert await take(events, 1) == [("log", {"file": STDOUT, "text": "one\n"})]
            job.document["progress"] = progress
            assert await take(events, 1) == [("progress", progress)]
            folder.replace(STDOUT, b"one\ntwo\nthree")
            assert await take(events, 1) == [("log", {"file": STDOUT, "text": "two\n"})]
            job.document |= {"status": "Completed", "progress": None, "ended": "now"}
            assert await take(events, 3) == [
                ("status", {"status": "Completed", "detail": ""}),
                ("log", {"file": STDOUT, "text": "three"}),
                ("end", job.document),
            ]
            with pytest.raises(StopAsyncIteration):
                await anext(events)

    asyncio.run(listen())


def test_progress_that_only_grew_older_is_told_once(folder) -> None:
    job = Job()

    async def listen() -> list[Any]:
        async with aclosing(Streams().follow("j", folder, job)) as events:
            job.document["progress"] = {"items": {"succeeded": 1}, "elapsed": 1.0}
            found = await take(events, 2)
            later = asyncio.ensure_future(anext(events))
            looks = job.looks
            job.document["progress"] = {"items": {"succeeded": 1}, "elapsed": 2.0}
            while job.looks < looks + 3:  # noqa: ASYNC110 - threads look
                await asyncio.sleep(0.005)
            job.document |= {"status": "Completed", "ended": "now"}
            return [*found, await later]

    assert [event for event, _ in asyncio.run(listen())] == ["status", "progress", "status"]


def test_listeners_share_the_looks_and_leave_nothing(folder) -> None:
    job, streams = Job(), Streams()

    async def listen() -> None:
        listeners = [streams.follow("j", folder, job) for _ in range(20)]
        for each in listeners:
            await take(each, 1)
        assert len(streams) == 1
        assert job.looks < 10
        for each in listeners:
            await each.aclose()

    asyncio.run(listen())
    assert len(streams) == 0


def test_a_listener_that_is_cancelled_leaves_nothing(folder) -> None:
    job, streams = Job(), Streams()

    async def listen() -> None:
        async def all_of_it() -> None:
            async with aclosing(streams.follow("j", folder, job)) as events:
                async for _ in events:
                    pass

        task = asyncio.create_task(all_of_it())
        while not job.looks:  # noqa: ASYNC110 - threads look
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(listen())
    assert len(streams) == 0


def test_looks_become_rare_while_nothing_happens(folder, monkeypatch) -> None:
    monkeypatch.setattr(stream_module, "QUIET_SECONDS", 60.0)
    job = Job()

    async def listen() -> None:
        async with aclosing(Streams().follow("j", folder, job)) as events:
            await take(events, 1)
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0.5)
            waiting.cancel()
            await asyncio.wait([waiting])

    asyncio.run(listen())
    assert job.looks < 15


def test_a_quiet_job_is_told_to_live(folder, monkeypatch) -> None:
    monkeypatch.setattr(stream_module, "HEARTBEAT_SECONDS", 0.03)

    async def listen() -> None:
        async with aclosing(Streams().follow("j", folder, Job())) as events:
            assert [event for event, _ in await take(events, 3)] == ["status", "heartbeat", "heartbeat"]

    asyncio.run(listen())


def test_a_job_that_has_ended_is_told_from_its_last_lines(world, jobs) -> None:
    name = jobs.invoke("e", BODY)["name"]
    open_store(world.ends(jobs, name)["folder"]).replace(STDOUT, b"hello\nend")

    async def listen(name: str) -> list[Any]:
        return [event async for event in jobs.stream(name, url="http://h")]

    *before, end = asyncio.run(listen(name))

    assert before[0] == ("status", {"status": "Completed", "detail": ""})
    assert before[1:] == [("log", {"file": STDOUT, "text": "hello\nend", "place": pack({STDOUT: 9})})]
    assert end == ("end", {**jobs.get(name), "services": {"Studio": {"endpoint": f"http://h/jobs/{name}"}}})
    event, child = asyncio.run(listen(f"{name}_batchscoring"))[-1]
    assert (event, child["parent_job_name"]) == ("end", name)
    with pytest.raises(JobNotFound):
        asyncio.run(listen("nope"))


def test_of_a_long_log_the_end_is_told_and_so_much_at_a_time(folder, monkeypatch) -> None:
    monkeypatch.setattr(log_tail_module, "_MOST", 100)
    monkeypatch.setattr(log_tail_module, "_MOST_AT_ONCE", 150)
    line = b"0123456789abcde\n"
    tail = LogTail(folder)
    folder.replace(STDOUT, line * 100)

    first = list(tail.new(sizes(folder)))
    folder.replace(STDOUT, line * 120)
    more = [list(tail.new(sizes(folder))) for _ in range(5)]

    assert first == [(STDOUT, line.decode() * 6)]
    assert "".join(text for found in more for _, text in found) == line.decode() * 20
    assert all(len(text) <= 100 for found in more for _, text in found)
    assert not tail.behind(sizes(folder))


def test_a_line_that_does_not_end_is_told_in_pieces(folder, monkeypatch) -> None:
    monkeypatch.setattr(log_tail_module, "_MOST", 10)
    tail = LogTail(folder)
    list(tail.new({}))
    folder.replace(STDOUT, b"x" * 25)

    found = [text for _ in range(3) for _, text in tail.new(sizes(folder))]

    assert found == ["x" * 10, "x" * 10]
    assert [text for _, text in tail.new(sizes(folder), last=True)] == ["x" * 5]


def test_bytes_that_are_no_text_are_told_all_the_same(folder) -> None:
    folder.replace(STDOUT, b"\xff\xfe\n")

    assert list(LogTail(folder).new(sizes(folder))) == [(STDOUT, "\ufffd\ufffd\n")]


def test_a_tail_goes_on_where_another_was_in_each_file(folder) -> None:
    other = "logs/user/stderr/n/process000.stderr.txt"
    folder.replace(STDOUT, b"one\ntwo")
    folder.replace(other, b"a\n")
    tail = LogTail(folder)
    heard = next(tail.new(sizes(folder)))
    place = tail.place  # the connection is cut here: the second file was never told of
    folder.replace(STDOUT, b"one\ntwo\nthree\n")
    folder.replace(other, b"a\nb\n")

    assert heard == (other, "a\n")
    assert list(LogTail(folder, place).new(sizes(folder))) == [(other, "b\n"), (STDOUT, "one\ntwo\nthree\n")]


def test_a_file_that_grew_while_nobody_listened_is_told_whole(folder, monkeypatch) -> None:
    monkeypatch.setattr(log_tail_module, "_MOST", 8)
    folder.replace(STDOUT, b"one\n")
    tail = LogTail(folder)
    assert [text for _, text in tail.new(sizes(folder))] == ["one\n"]
    lines = [f"line {number}\n" for number in range(9)]
    folder.replace(STDOUT, ("one\n" + "".join(lines)).encode())

    again, found = LogTail(folder, tail.place), list[str]()
    while again.behind(sizes(folder)):
        found += [text for _, text in again.new(sizes(folder))]
    assert "".join(found) == "".join(lines)


def test_a_place_of_very_many_files_is_told_as_none(folder) -> None:
    tail = LogTail(folder)
    tail._told = {f"logs/user/{hash((number, 'x'))}-{number * 7919 % 1009}": number for number in range(5000)}
    assert tail.place == ""


@pytest.mark.parametrize(
    "place",
    ["!", "eJw", "é" * 9, "x" * 9000, pack([1]), pack({STDOUT: -5}), pack({STDOUT: "1"}), pack({STDOUT: True}), bomb()],
)
def test_what_is_no_place_is_the_beginning(folder, place: str) -> None:
    folder.replace(STDOUT, b"one\n")
    assert list(LogTail(folder, place).new(sizes(folder))) == [(STDOUT, "one\n")]


def test_a_place_behind_the_end_tells_nothing(folder) -> None:
    folder.replace(STDOUT, b"one\n")
    assert list(LogTail(folder, pack({STDOUT: 10**30, "../../etc/passwd": 0})).new(sizes(folder))) == []
