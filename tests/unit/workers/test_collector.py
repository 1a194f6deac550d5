from __future__ import annotations

import time
import weakref
from pathlib import Path

import pytest

from gristmill.errors import LedgerFailed, StorageFailed
from gristmill.spec import Settings, Tuning
from gristmill_storage import job_folder
from gristmill_storage.ledger import Commit, Entry
from gristmill_storage.local_store import LocalStore
from gristmill_storage.memory_store import MemoryStore
from gristmill_storage.parts import Block, Blocks, PartReader
from gristmill_workers import collector as collector_module
from gristmill_workers.collector import Collector, Committer


def block(number: int, data: bytes = b"x\n", files: tuple[str, ...] = ()) -> Block:
    return Block(
        mini_batch=number,
        attempt=1,
        items=2,
        succeeded=1,
        failed=1,
        rows=1,
        seconds=0.1,
        encoding="text",
        size=len(data),
        files=files,
    )


def collector(store, **settings) -> Collector:
    return Collector(store, Settings(**settings), epoch="0000000000001", instance="node-0-ab")


def test_neighbours_under_one_lease_become_one_entry() -> None:
    gathering = collector(MemoryStore())
    for token, number in [("t1", 1), ("t2", 4), ("t1", 0), ("t1", 2), ("t3", 3)]:
        gathering.add(token, block(number), b"x\n", None, None)

    draft = gathering.take()

    assert draft is not None
    assert [(entry.token, entry.first, entry.last, entry.items, entry.failed) for entry in draft.entries] == [
        ("t1", 0, 2, 6, 3),
        ("t3", 3, 3, 2, 1),
        ("t2", 4, 4, 2, 1),
    ]
    assert gathering.empty
    assert gathering.take() is None


def test_outcomes_by_column_are_told_as_if_each_had_come_by_itself() -> None:
    store = MemoryStore()
    gathering = collector(store)
    numbers = [4, 5, 6, 8, 9]
    blocks = Blocks(
        mini_batches=numbers, attempt=1, items=[2] * 5, rows=[1] * 5, microseconds=[400, 0, 600, 20, 3_000_000],
        sizes=[2, 0, 2, 2, 2], encoding="text",
    )  # fmt: skip
    gathering.add("t1", block(3), b"x\n", None, None)
    gathering.add_all(["t1", "t1", "t1", "t1", "t2"], blocks, b"4\n6\n8\n9\n")
    gathering.add("t2", block(10), b"x\n", None, None)

    draft = gathering.take()

    assert draft is not None
    told = [(one.token, one.first, one.last, one.items, one.succeeded, one.failed, one.size) for one in draft.entries]
    assert told == [("t1", 3, 6, 8, 7, 1, 6), ("t1", 8, 8, 2, 2, 0, 2), ("t2", 9, 10, 4, 3, 1, 4)]
    tallies = [dict(pair.split("=") for pair in entry.tallies.split()) for entry in draft.entries]
    assert tallies[0] == {"run:0.1": "1", "run:0.0005": "1", "run:0.001": "1", "run:us": "101000", "item:unknown": "1"}
    assert tallies[1] == {"run:0.0005": "1", "run:us": "20"}
    draft.writer.seal()
    with PartReader(store, draft.name) as reader:
        assert [reader.read(found) for found in reader.blocks()] == [
            b"x\n",
            b"4\n",
            b"",
            b"6\n",
            b"8\n",
            b"9\n",
            b"x\n",
        ]


def test_neighbours_that_others_may_copy_are_an_entry_each() -> None:
    gathering = collector(MemoryStore(), speculate=True)
    for number in (1, 0):
        gathering.add("t1", block(number), b"x\n", None, None)

    draft = gathering.take()

    assert draft is not None
    assert [(entry.first, entry.last) for entry in draft.entries] == [(0, 0), (1, 1)]


def test_a_sealed_part_holds_the_rows_also_of_a_spool_file(tmp_path: Path) -> None:
    store = MemoryStore()
    spool = tmp_path / "spool"
    spool.write_bytes(b"many\nrows\n")
    gathering = collector(store)
    gathering.add("t", block(0), b"x\n", None, None)
    gathering.add("t", block(1, b"many\nrows\n"), b"", spool, None)
    draft = gathering.take()
    assert draft is not None
    draft.writer.seal()

    reader = PartReader(store, draft.name)

    assert [reader.read(one) for one in reader.blocks()] == [b"x\n", b"many\nrows\n"]
    assert not spool.exists()


def test_files_of_a_script_go_under_the_part_that_names_them(tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "job")
    staged = tmp_path / "staged"
    (staged / "deep").mkdir(parents=True)
    (staged / "deep" / "a.bin").write_bytes(b"1")
    gathering = collector(store)
    gathering.add("t", block(5, files=("deep/a.bin",)), b"x\n", None, staged)
    draft = gathering.take()

    assert draft is not None
    assert store.read(f"{job_folder.files_folder(draft.name, 5)}/deep/a.bin") == b"1"
    assert not staged.exists()


def test_a_large_part_is_due_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector_module, "PART_BYTES", 3)
    gathering = collector(MemoryStore())
    gathering.add("t", block(0), b"x\n", None, None)
    assert not gathering.due
    gathering.add("t", block(1), b"x\n", None, None)

    assert gathering.due


def test_a_part_of_many_mini_batches_is_due_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector_module, "PART_BLOCKS", 4)
    gathering = collector(MemoryStore())
    for _ in range(2):
        gathering.add("t", block(0), b"x\n", None, None)
        blocks = Blocks(mini_batches=[1, 2], attempt=1, items=[1, 1], rows=[0, 0], microseconds=[1, 1], sizes=[0, 0])
        gathering.add_all(["t", "t"], blocks, b"")
        assert not gathering.due
        gathering.add("t", block(4), b"x\n", None, None)
        assert gathering.due
        draft = gathering.take()
        assert draft is not None
        draft.writer.discard()


def test_the_first_parts_are_sealed_sooner_than_later_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(collector_module.time, "monotonic", lambda: clock[0])
    gathering = collector(MemoryStore())
    kept = []
    for number in range(20):
        gathering.add("t", block(number), b"x\n", None, None)
        began = clock[0]
        while not gathering.due:
            clock[0] += 0.01
        kept.append(round(clock[0] - began, 1))
        gathering.take()

    assert kept[0] <= 0.3
    assert kept == sorted(kept)
    assert kept[-1] == pytest.approx(collector_module.LONGEST_SECONDS, abs=0.1)


def test_a_part_is_durable_before_the_ledger_hears_of_it() -> None:
    store = MemoryStore()
    seen = []

    def commit(part: str, entries: list[Entry]) -> Commit:
        seen.append((part, store.exists(job_folder.part_path(part)), entries[0].first))
        return Commit(accepted=[(0, 0)], refused=[], state="open")

    gathering = collector(store)
    gathering.add("t", block(0), b"x\n", None, None)
    committer = Committer(commit)
    draft = gathering.take()
    assert draft is not None
    committer.put(draft)
    committer.close()

    assert seen == [(draft.name, True, 0)]


def test_a_failure_of_the_ledger_reaches_the_loop() -> None:
    def commit(part: str, entries: list[Entry]) -> Commit:
        raise LedgerFailed("gone")

    gathering = collector(MemoryStore())
    gathering.add("t", block(0), b"x\n", None, None)
    committer = Committer(commit)
    draft = gathering.take()
    assert draft is not None
    committer.put(draft)

    with pytest.raises(LedgerFailed, match="gone"):
        committer.close()


def test_a_part_that_cannot_be_sealed_is_never_committed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    committed = []

    def commit(part: str, entries: list[Entry]) -> Commit:
        committed.append(part)
        return Commit(accepted=[], refused=[], state="open")

    gathering = collector(store)
    gathering.add("t", block(0), b"x\n", None, None)
    draft = gathering.take()
    assert draft is not None
    (tmp_path / job_folder.part_path(draft.name)).mkdir(parents=True)
    committer = Committer(commit)
    committer.put(draft)

    with pytest.raises(StorageFailed):
        committer.close()
    assert committed == []


def test_a_part_is_due_at_as_many_bytes_as_the_settings_say() -> None:
    gathering = collector(MemoryStore(), tuning=Tuning(flush_bytes=4))
    gathering.add("t", block(0), b"x\n", None, None)
    assert not gathering.due

    gathering.add("t", block(1), b"x\n", None, None)
    assert gathering.due


def test_a_part_that_is_committed_is_held_by_nobody() -> None:
    committer = Committer(lambda _part, _entries: Commit(accepted=[], refused=[], state="open"))
    gathering = collector(MemoryStore())
    gathering.add("t", block(0), b"x\n", None, None)
    draft = gathering.take()
    assert draft is not None
    writer = weakref.ref(draft.writer)

    committer.put(draft)
    del draft
    deadline = time.monotonic() + 30
    while writer() is not None and time.monotonic() < deadline:
        time.sleep(0.001)

    held = writer()
    committer.close()
    assert held is None
