"""The ledger, made again from what storage holds: the manifest says what there is to do, the parts what is done."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from gristmill.counts import counted
from gristmill.errors import Corrupt, LedgerLost, StorageFailed
from gristmill.spec import Job
from gristmill_storage import job_folder
from gristmill_storage.files import Store
from gristmill_storage.ledger import Entry, Ledger
from gristmill_storage.manifest import ManifestReader
from gristmill_storage.parts import Block, PartReader, list_parts
from gristmill_storage.tallies import count_outcome, encode

#: Parts that are read at once.
READERS: Final = 16

log = logging.getLogger("gristmill.scheduler")


def new_epoch(folder: Store) -> str:
    """Return a name for a ledger's life; it sorts behind those of earlier lives, even if the clock went back."""
    epochs = (job_folder.parse_part_name(name)[0] for name in list_parts(folder))
    last = max((int(epoch) for epoch in epochs if epoch.isdecimal()), default=0)
    return f"{max(time.time_ns() // 1_000_000, last + 1):013d}"


def rebuild(job: Job, folder: Store, ledger: Ledger, *, lease_seconds: float, retry_failed: bool = False) -> None:
    """Open a job's ledger anew with everything that the job's folder proves to be done.

    A mini-batch without failed items wins over one with them, and then the first part by name, so every rebuild of the
    same folder gives the same output. A damaged part is passed over: what it held is scored again.

    Args:
        job: The job.
        folder: Its folder.
        ledger: Where it is opened; what the ledger knew of it is forgotten.
        lease_seconds: Seconds without a sign of life after which an instance's work goes to others.
        retry_failed: Whether mini-batches with failed items are to be scored again.

    Raises:
        Corrupt: chunks of the manifest are missing; what the parts hold is then nobody knows what of.
        LedgerLost: an aggregator that was still at work ended the job meanwhile, and took the parts; nothing is open.

    """
    try:
        _make_again(job, folder, ledger, lease_seconds=lease_seconds, retry_failed=retry_failed)
    except StorageFailed:
        if not folder.exists(job_folder.RESULT):
            raise
    if folder.exists(job_folder.RESULT):
        ledger.forget(job.name)
        raise LedgerLost(f"job {job.name}: it ended while its ledger was made again")


def _make_again(job: Job, folder: Store, ledger: Ledger, *, lease_seconds: float, retry_failed: bool) -> None:
    ledger.forget(job.name)
    ledger.open(
        job.name,
        epoch=new_epoch(folder),
        lease_seconds=lease_seconds,
        error_threshold=job.deployment.settings.error_threshold,
    )
    planned = extend_plan(job, folder, ledger)
    whole = bytearray(planned)
    for _, blocks in _parts(job, folder):
        if blocks and blocks[-1].mini_batch >= planned:
            raise _short(folder, f"a part holds mini-batch {blocks[-1].mini_batch}", planned)
        for block in blocks:
            whole[block.mini_batch] |= not block.failed
    for name, blocks in _parts(job, folder):
        # One entry a mini-batch: another part may hold any of them.
        kept = [block for block in blocks if not block.failed or not (retry_failed or whole[block.mini_batch])]
        ledger.adopt(job.name, part=name, entries=[_entry(block) for block in kept])


def _entry(block: Block) -> Entry:
    amounts: Counter[str] = Counter()
    count_outcome(amounts, block)
    return Entry.of(block, tallies=encode(amounts))


def extend_plan(job: Job, folder: Store, ledger: Ledger, *, known: int = 0) -> int:
    """Tell the ledger of the plan so far, of which it knows the first `known` mini-batches; return how many there are.

    What is in the manifest and not in the ledger was written by a planner that ended between the two.
    """
    manifest = ManifestReader(folder)
    totals = manifest.totals()  # before the chunks: another planner may come to the end meanwhile
    planned = 0
    for first, last in manifest.spans():
        planned = last + 1
        if last >= known:
            chunk = manifest.chunk(first).info()
            ledger.extend(job.name, first=first, count=chunk.count, items=chunk.items, size=chunk.size, closed=False)
    if totals is not None:
        if totals.mini_batches != planned:
            raise _short(folder, f"its end says {counted(totals.mini_batches, 'mini-batch')}", planned)
        ledger.extend(job.name, first=planned, count=0, items=0, size=0, closed=True)
    return planned


def _short(folder: Store, sign: str, planned: int) -> Corrupt:
    held = counted(planned, "mini-batch")
    return Corrupt(f"{folder.url}/{job_folder.MANIFEST}: holds {held}, but {sign}; run the job anew")


def _parts(job: Job, folder: Store) -> Iterator[tuple[str, Sequence[Block]]]:
    """Yield the parts that can be read, by name, with their blocks; a few are read side by side: each costs a wait."""
    names = sorted(list_parts(folder))
    with ThreadPoolExecutor(READERS) as pool:
        for at in range(0, len(names), READERS):
            some = names[at : at + READERS]
            for name, blocks in zip(some, pool.map(partial(_blocks, job, folder), some), strict=True):
                if blocks is not None:
                    yield name, blocks


def _blocks(job: Job, folder: Store, name: str) -> Sequence[Block] | None:
    """Return a part's blocks; None where it is damaged."""
    try:
        with PartReader(folder, name) as part:
            return part.blocks()
    except Corrupt as error:
        log.warning("job %s: %s; what it held is scored again", job.name, error)
        return None
