"""The crc32 of two runs of bytes together, from the crc32 of each: who copies checked bytes need not sum them twice.

The crc32 of A and B is that of A, moved on by as many zero bytes as B is long, xor that of B. A few zero bytes are
summed, which is C's work. Moving on is linear, so there is a table for each power of two of bytes beside that, made
when it is needed first: a join of any size costs a few microseconds.
"""

from __future__ import annotations

import zlib
from functools import cache
from typing import Final, TypeAlias

#: Zero bytes, as many as cost less to be summed than to be stepped over.
_ZEROS: Final = memoryview(bytes(4096))

#: What crc32 divides by, its lowest power first.
_POLYNOMIAL: Final = 0xEDB88320

#: What becomes of each bit.
_Columns: TypeAlias = tuple[int, ...]
#: What becomes of each value of each of the four bytes.
_Table: TypeAlias = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def joined(first: int, second: int, size: int) -> int:
    """Return the crc32 of bytes whose crc32 is `first`, followed by `size` bytes whose crc32 is `second`."""
    if size <= len(_ZEROS):
        zeros = _ZEROS[:size]
        return zlib.crc32(zeros, first) ^ zlib.crc32(zeros) ^ second
    power = 0
    while size:
        if size & 1:
            lowest, low, high, highest = _table(power)
            first = lowest[first & 255] ^ low[first >> 8 & 255] ^ high[first >> 16 & 255] ^ highest[first >> 24]
        size >>= 1
        power += 1
    return first ^ second


@cache
def _table(power: int) -> _Table:
    columns = _columns(power)
    lowest, low, high, highest = (_values(columns[place : place + 8]) for place in (0, 8, 16, 24))
    return lowest, low, high, highest


def _values(columns: _Columns) -> tuple[int, ...]:
    values = [0]
    for column in columns:
        values += [value ^ column for value in values]
    return tuple(values)


@cache
def _columns(power: int) -> _Columns:
    """Return what two to this power zero bytes make of each bit."""
    if power:
        half = _columns(power - 1)
        return tuple(_applied(half, column) for column in half)
    columns = [1 << bit for bit in range(32)]
    for _ in range(8):
        columns = [(column >> 1) ^ (_POLYNOMIAL if column & 1 else 0) for column in columns]
    return tuple(columns)


def _applied(columns: _Columns, value: int) -> int:
    result = 0
    for column in columns:
        if value & 1:
            result ^= column
        value >>= 1
    return result
