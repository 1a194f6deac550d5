from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.errors import Corrupt
from gristmill_storage.files import Store, open_store
from gristmill_storage.job_folder import part_path
from gristmill_storage.memory_store import MemoryStore
from gristmill_storage.parts import Block, PartWriter, part_name
from gristmill_workers.aggregator.ordered import OPENED_AHEAD, Accepted, Placed, columns_here, in_order
from gristmill_workers.aggregator.rows import union_of_columns


def write_part(store: Store, serial: int, numbers: list[int], columns: dict[int, tuple[str, ...]] | None = None) -> str:
    name = part_name("0000000000001", min(numbers), "node", serial)
    writer = PartWriter(store, name)
    for number in numbers:
        data = f"{number}\n".encode()
        writer.add(
            Block(
                mini_batch=number,
                attempt=1,
                items=1,
                succeeded=1,
                failed=0,
                rows=1,
                seconds=0.0,
                encoding="text",
                size=len(data),
                columns=(columns or {}).get(number),
            ),
            data,
        )
    writer.seal()
    return name


def merged(store: MemoryStore, accepted: list[Accepted], *, whole: bool = True) -> list[int]:
    return [int(placed.reader.read(placed.block)) for placed in in_order(store, accepted, whole=whole)]


@given(st.integers(1, 60), st.integers(1, 7), st.randoms(use_true_random=False))
def test_parts_in_any_order_give_every_mini_batch_once_in_order(count: int, parts: int, chance: random.Random) -> None:
    store = MemoryStore()
    held: list[list[int]] = [[] for _ in range(parts)]
    for number in range(count):
        chance.choice(held).append(number)
    accepted = []
    for serial, numbers in enumerate(held):
        chance.shuffle(numbers)
        if numbers:
            name = write_part(store, serial, numbers)
            accepted.append(Accepted(part=name, ranges=tuple((n, n) for n in sorted(numbers))))
    chance.shuffle(accepted)

    assert list(range(count)) == merged(store, accepted)


def test_what_was_not_accepted_is_not_read() -> None:
    store = MemoryStore()
    first = Accepted(part=write_part(store, 0, [0, 1, 2, 3]), ranges=((0, 1), (3, 3)))
    second = Accepted(part=write_part(store, 1, [2, 3, 4]), ranges=((4, 4), (2, 2)))

    assert merged(store, [second, first]) == [0, 1, 2, 3, 4]


def test_a_gap_is_refused_where_the_whole_is_wanted() -> None:
    store = MemoryStore()
    accepted = [Accepted(part=write_part(store, 0, [0, 2]), ranges=((0, 0), (2, 2)))]

    assert merged(store, accepted, whole=False) == [0, 2]
    with pytest.raises(Corrupt, match=r"mini-batch 2 .* does not follow 0"):
        merged(store, accepted)


def test_a_mini_batch_that_counts_twice_is_refused() -> None:
    store = MemoryStore()
    accepted = [
        Accepted(part=write_part(store, 0, [0, 1]), ranges=((0, 1),)),
        Accepted(part=write_part(store, 1, [1, 2]), ranges=((1, 2),)),
    ]

    with pytest.raises(Corrupt, match=r"mini-batch 1 .* counts twice"):
        merged(store, accepted)


def test_no_parts_give_nothing() -> None:
    assert merged(MemoryStore(), []) == []


class Opened(MemoryStore):
    """A store elsewhere that keeps count of the files that it has opened."""

    def __init__(self, together: int = 1) -> None:
        super().__init__()
        self.files: list[BinaryIO] = []
        #: Lets the first files be opened only when so many of them are asked for at once.
        self._gate = threading.Barrier(together)
        self._gated = together
        self._asked = itertools.count()

    def open(self, path: str) -> BinaryIO:
        if next(self._asked) < self._gated:
            self._gate.wait(30)
        file = super().open(path)
        self.files.append(file)
        return file

    @property
    def left_open(self) -> int:
        return sum(not file.closed for file in self.files)


def of_instances(store: MemoryStore, instances: int, rounds: int) -> list[Accepted]:
    """Write parts as so many instances do that lease in turn: each part's neighbours are in the others."""
    accepted = []
    for number in range(instances):
        numbers = list(range(number, instances * rounds, instances))
        accepted.append(
            Accepted(part=write_part(store, number, numbers), ranges=tuple((each, each) for each in numbers))
        )
    return accepted


def test_parts_that_are_elsewhere_are_opened_side_by_side() -> None:
    store = Opened(together=OPENED_AHEAD)
    accepted = of_instances(store, 3 * OPENED_AHEAD, 4)

    assert merged(store, accepted) == list(range(12 * OPENED_AHEAD))
    assert len(store.files) == len(accepted)
    assert store.left_open == 0


def test_parts_that_were_opened_for_nothing_are_closed() -> None:
    store = Opened()
    accepted = of_instances(store, 40, 2)

    blocks = in_order(store, accepted, whole=True)
    next(blocks)
    blocks.close()

    assert 1 <= len(store.files) < 40
    assert store.left_open == 0


def test_a_damaged_part_that_is_opened_ahead_is_told_when_it_is_due() -> None:
    store = Opened()
    accepted = [Accepted(part=write_part(store, number, [number]), ranges=((number, number),)) for number in range(9)]
    path = part_path(accepted[5].part)
    store.replace(path, b"?" + store.read(path)[1:])

    found: list[int] = []
    with pytest.raises(Corrupt, match=accepted[5].part):
        found.extend(placed.block.mini_batch for placed in in_order(store, accepted, whole=True))

    assert found == [0, 1, 2, 3, 4]
    assert store.left_open == 0


def looked_at(placed: Iterator[Placed], seen: list[int]) -> Iterator[Placed]:
    for each in placed:
        seen.append(each.block.mini_batch)
        yield each


@pytest.mark.parametrize(
    ("columns", "header", "until"),
    [
        (dict.fromkeys(range(6), ("a", "b")), ("a", "b"), 1),
        ({2: ("a",), 4: ("b",)}, ("a", "b"), 5),
        ({0: ("a",), 5: ("b",)}, ("a",), 4),  # 5 does not count
        ({}, (), 0),
    ],
)
def test_columns_are_looked_for_until_every_list_of_them_was_seen(
    tmp_path: Path, columns: dict[int, tuple[str, ...]], header: tuple[str, ...], until: int
) -> None:
    store = open_store(str(tmp_path))
    first = Accepted(part=write_part(store, 0, [0, 1, 2], columns), ranges=((0, 2),))
    second = Accepted(part=write_part(store, 1, [3, 4, 5], columns), ranges=((3, 4),))
    every, seen = columns_here(store, [first, second]), list[int]()

    assert union_of_columns(looked_at(in_order(store, [second, first], whole=True), seen), every=every) == header
    assert seen[:until] == list(range(until))
    assert len(seen) <= until + 1


def test_parts_elsewhere_are_not_opened_for_their_columns_alone() -> None:
    assert columns_here(MemoryStore(), [Accepted(part="gone", ranges=((0, 0),))]) is None
