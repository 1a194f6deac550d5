"""Whether the parts of a job that is not complete hold what they should, and what of the job is done."""

from __future__ import annotations

import json
import zlib
from bisect import bisect_right
from collections.abc import Sequence

from gristmill.counts import counted
from gristmill.errors import Corrupt, NotFound
from gristmill_storage import job_folder
from gristmill_storage.files import Store
from gristmill_storage.manifest import ManifestReader
from gristmill_storage.part_format import TRAILER, Block
from gristmill_storage.parts import PartReader, list_parts, parse_part_name
from gristmill_workers.aggregator.faults import Findings


class _Plan:
    """How many items the manifest says a mini-batch has."""

    def __init__(self, folder: Store) -> None:
        self._reader = ManifestReader(folder)
        self._spans = self._reader.spans()
        self._firsts = [first for first, _ in self._spans]
        self.planned = self._spans[-1][1] + 1 if self._spans else 0

    def items(self, number: int) -> int:
        first = self._firsts[bisect_right(self._firsts, number) - 1]
        return len(self._reader.chunk(first).mini_batch(number).items)


def check_parts(folder: Store, findings: Findings) -> None:
    """Read every part whole; count what is done, done twice, and not done yet."""
    try:
        plan = _Plan(folder)
    except Corrupt:
        return  # the manifest's own check names it
    done = bytearray(plan.planned)
    seen: dict[tuple[int, int], str] = {}
    for name in sorted(list_parts(folder)):
        findings.checked["parts"] += 1
        path = job_folder.part_path(name)
        try:
            blocks = _check_part(folder, name, findings)
            for block in blocks:
                _check_block(path, block, plan, done, findings)
        except (Corrupt, NotFound) as error:
            findings.fault(error.message)
            continue
        before = seen.setdefault(_seal(folder, path), path)
        if before != path:
            findings.fault(f"{path}: is a copy of {before}")
    _check_merge(folder, findings)
    findings.checked["mini_batches_planned"] = plan.planned
    findings.checked["mini_batches_done"] = plan.planned - done.count(0)
    findings.checked["mini_batches_done_twice"] = sum(done.count(times) for times in range(2, 256))
    findings.checked["mini_batches_not_done"] = done.count(0)


def _check_part(folder: Store, name: str, findings: Findings) -> Sequence[Block]:
    with PartReader(folder, name) as part:
        part.verify()
        blocks = part.blocks()
    least = min(block.mini_batch for block in blocks)
    if parse_part_name(name)[1] != least:
        findings.fault(f"{job_folder.part_path(name)}: begins with mini-batch {least}, its name says another")
    return blocks


def _check_block(path: str, block: Block, plan: _Plan, done: bytearray, findings: Findings) -> None:
    number = block.mini_batch
    if number >= plan.planned:
        findings.fault(f"{path}: mini-batch {number} is not in the manifest")
        return
    done[number] = min(255, done[number] + 1)
    items = plan.items(number)
    if block.items != items or block.succeeded + block.failed != items:
        findings.fault(
            f"{path}: mini-batch {number} has {counted(block.succeeded + block.failed, 'item')}, of which "
            f"{block.failed:,} failed, {items:,} in the manifest"
        )


def _seal(folder: Store, path: str) -> tuple[int, int]:
    """Return what two parts have in common only if one is the other's copy: their sizes and the ends of them."""
    size = folder.size(path)
    return size, zlib.crc32(folder.read_range(path, size - TRAILER.size, TRAILER.size))


def _check_merge(folder: Store, findings: Findings) -> None:
    """Check that the parts are there that a merge, once begun, counts on."""
    if not folder.exists(job_folder.PUBLISHING):
        return
    try:
        merge = [(str(part), ranges) for part, ranges in json.loads(folder.read(job_folder.MERGE))]
    except (NotFound, ValueError, TypeError) as error:
        findings.fault(f"{job_folder.MERGE}: a merge was begun, and what it counts on cannot be read ({error})")
        return
    for part, ranges in merge:
        if ranges and not folder.exists(job_folder.part_path(part)):
            findings.fault(f"{job_folder.part_path(part)}: is gone, and the merge that was begun counts on it")
