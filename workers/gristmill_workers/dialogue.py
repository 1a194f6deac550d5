"""How an instance hands mini-batches to a scorer, and what it makes of an answer to many of them at once.

The words are in `scorer/protocol.py`. What a scorer writes may be nonsense, and is looked at before it is believed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, islice
from typing import Any

from gristmill.counts import counted
from gristmill_storage.part_format import ENCODINGS
from gristmill_storage.parts import Blocks
from gristmill_workers.scorer.protocol import ProtocolError
from gristmill_workers.work import Scored, ScoredTogether, Work


def frame_of(works: Sequence[Work]) -> tuple[dict[str, Any], bytes]:
    """Return the header and the payload by which a scorer is given mini-batches."""
    lines = [work.line for work in works]
    if all(lines) and len({work.attempt for work in works}) == 1:
        return {"type": "lines", "attempt": works[0].attempt}, b"\n".join(lines)
    return {"type": "run", "batches": [work.command() for work in works]}, b""


def answers(held: Sequence[Work], results: Sequence[dict[str, Any]], payload: bytes) -> list[Scored]:
    """Return what a `results` frame says of the mini-batches that were held first.

    Raises:
        ProtocolError, LookupError, TypeError: it is nonsense.

    """
    found: list[Scored] = []
    start = 0
    for work, result in zip(_first(held, len(results)), results, strict=True):
        if work.number != result["n"]:
            raise ProtocolError(f"an answer to mini-batch {result['n']} where {work.number} was due")
        length = 0 if "spool" in result else result["bytes"]
        found.append(Scored(work=work, result=result, data=payload[start : start + length]))
        start += length
    return found


def answer_together(held: Sequence[Work], header: Mapping[str, Any], payload: bytes) -> ScoredTogether:
    """Return what a `scored` frame says of the mini-batches that were held first.

    Raises:
        ProtocolError, LookupError, TypeError: it is nonsense.

    """
    numbers, rows, microseconds, sizes = (header[name] for name in ("n", "rows", "us", "bytes"))
    works = _first(held, len(numbers))
    if [work.number for work in works] != numbers:
        raise ProtocolError(f"an answer to mini-batches {numbers[:3]}... where {works[0].number} was due")
    columns, encoding = header["columns"], header["encoding"]
    counts = list(chain(rows, microseconds, sizes, [header["writing"]]))
    alike = len(rows) == len(microseconds) == len(sizes) == len(works) and len({work.attempt for work in works}) == 1
    if not alike or set(map(type, counts)) != {int} or min(counts) < 0:
        raise ProtocolError(f"counts that cannot be, of mini-batches from {works[0].number} on")
    if sum(sizes) != len(payload) or encoding not in ENCODINGS:
        raise ProtocolError(f"{counted(len(payload), 'byte')} of rows in {encoding!r}, due: {sum(sizes):,}")
    blocks = Blocks(
        mini_batches=numbers,
        attempt=works[0].attempt,
        items=[len(work.items) for work in works],
        rows=rows,
        microseconds=microseconds,
        sizes=sizes,
        encoding=encoding,
        columns=None if columns is None else tuple(map(str, columns)),
    )
    return ScoredTogether(works=works, blocks=blocks, data=payload)


def _first(held: Sequence[Work], count: int) -> list[Work]:
    works = list(islice(held, count))
    if not works or len(works) < count:
        raise ProtocolError(f"answers to {counted(count, 'mini-batch')}, due: {len(works):,}")
    return works
