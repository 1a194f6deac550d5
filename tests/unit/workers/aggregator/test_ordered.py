from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.errors import Corrupt
from gristmill_storage.memory_store import MemoryStore
from gristmill_storage.parts import Block, PartWriter, part_name
from gristmill_workers.aggregator.ordered import Accepted, in_order


def write_part(store: MemoryStore, serial: int, numbers: list[int]) -> str:
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
