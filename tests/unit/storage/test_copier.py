"""Copies of many items at once, on the loop of a store's driver."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gristmill.errors import NotFound, StorageFailed
from gristmill_storage.copier import COPIES, Copier
from gristmill_storage.fetching import fetch
from gristmill_storage.files import Store


class OnLoop:
    """A store whose driver works on a loop; an item's name says what becomes of it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.under_way = self.most = self.asked = 0
        self.gate = asyncio.Event()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    async def copy(self, path: str, local: Path) -> None:
        self.asked += 1
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        try:
            await self.gate.wait()
            if path == "gone":
                raise NotFound("gone: no such file")
            if path == "broken":
                raise StorageFailed("broken: reset by peer") from ConnectionResetError()
            local.write_text(path)  # noqa: ASYNC240 - as drivers do
        finally:
            self.under_way -= 1

    def answer(self) -> None:
        self.loop.call_soon_threadsafe(self.gate.set)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def looped() -> Iterator[Any]:
    looped = OnLoop()
    yield looped
    looped.close()


def patiently(folder: Path) -> Any:
    def fetch(item: str) -> Path:
        (folder / item).write_text(f"{item}, by a thread")
        return folder / item

    return fetch


def wait_until_all_are_under_way(looped: OnLoop) -> None:
    deadline = time.monotonic() + 30
    while looped.under_way < COPIES:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_items_of_every_kind_of_store_arrive(store: Store, tmp_path: Path) -> None:
    names = ["a.png", "sub/b c#%?.png", "é/日本.txt"]
    for name in names:
        store.create(name, name.encode())
    copier = Copier(store, tmp_path / "in", lambda name: fetch(store, name, tmp_path / "in"))
    copies = [copier.copy(name) for name in [*names, "none"]]
    copier.begin()

    for name, copy in zip(names, copies, strict=False):
        assert copy.result(60) == tmp_path / "in" / name
        assert copy.result().read_bytes() == name.encode()
    with pytest.raises(NotFound):
        copies[-1].result(60)
    assert (copier._loop is None) == store.url.startswith(("/", "memory:", "file:"))
    copier.close()


def test_many_are_copied_at_once_and_no_more_than_the_store_is_to_bear(looped: Any, tmp_path: Path) -> None:
    copier = Copier(looped, tmp_path, patiently(tmp_path))
    copies = [copier.copy(str(number)) for number in range(COPIES)]
    copier.begin()
    copies += [copier.copy(str(number)) for number in range(COPIES, 3 * COPIES)]
    copier.begin()
    wait_until_all_are_under_way(looped)
    looped.answer()

    assert [copy.result(30).read_text() for copy in copies] == list(map(str, range(3 * COPIES)))
    assert looped.most == COPIES
    more = copier.copy("more")
    copier.begin()
    assert more.result(30).read_text() == "more"
    copier.close()


def test_what_may_come_later_is_waited_for_by_a_thread(looped: Any, tmp_path: Path) -> None:
    looped.answer()
    copier = Copier(looped, tmp_path, patiently(tmp_path))
    broken, gone, whole = map(copier.copy, ("broken", "gone", "whole"))
    copier.begin()

    assert broken.result(30).read_text() == "broken, by a thread"
    with pytest.raises(NotFound):
        gone.result(30)
    assert whole.result(30).read_text() == "whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "whole"]
    copier.close()


def test_what_nobody_waits_for_any_more_is_not_asked_for(looped: Any, tmp_path: Path) -> None:
    copier = Copier(looped, tmp_path, patiently(tmp_path))
    copies = [copier.copy(str(number)) for number in range(COPIES + 9)]
    copies[0].cancel()
    copier.begin()
    copies[COPIES + 1].cancel()
    copies[-1].cancel()
    looped.answer()

    for copy in copies:
        if not copy.cancelled():
            copy.result(30)
    assert looped.asked == COPIES + 9 - sum(copy.cancelled() for copy in copies)
    copier.close()


def test_what_has_not_begun_when_it_closes_is_given_up(looped: Any, tmp_path: Path) -> None:
    copier = Copier(looped, tmp_path, patiently(tmp_path))
    copies = [copier.copy(str(number)) for number in range(COPIES + 9)]
    copier.begin()
    wait_until_all_are_under_way(looped)
    copier.close()
    looped.answer()

    assert [copy.result(30).read_text() for copy in copies[:COPIES]] == list(map(str, range(COPIES)))
    assert looped.asked == COPIES
    assert not any(copy.done() for copy in copies[COPIES:])


@pytest.mark.parametrize("whole", [True, False])
def test_stores_without_a_loop_and_slices_of_tables_have_threads(looped: Any, tmp_path: Path, whole: bool) -> None:
    copier = Copier(object() if whole else looped, tmp_path, patiently(tmp_path), whole=whole)  # type: ignore[arg-type]
    copy = copier.copy("a")
    copier.begin()

    assert copy.result(30).read_text() == "a, by a thread"
    assert looped.asked == 0
    copier.close()
