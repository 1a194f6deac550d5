"""The ledger, made again from what storage holds: the manifest says what there is to do, the parts what is done."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator

from gristmill.errors import Corrupt
from gristmill.spec import Job
from gristmill_storage.files import Store
from gristmill_storage.ledger import Entry, Ledger
from gristmill_storage.manifest import ManifestReader
from gristmill_storage.parts import Block, PartReader, list_parts

log = logging.getLogger("gristmill.scheduler")


def new_epoch() -> str:
    """Return a name for a ledger's life; later lives sort behind earlier ones."""
    return f"{time.time_ns() // 1_000_000:013d}"


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

    """
    ledger.forget(job.name)
    ledger.open(
        job.name,
        epoch=new_epoch(),
        lease_seconds=lease_seconds,
        error_threshold=job.deployment.settings.error_threshold,
    )
    planned = _open_plan(job, ManifestReader(folder), ledger)
    whole = bytearray(planned)
    for _, blocks in _parts(job, folder):
        for block in blocks:
            whole[block.mini_batch] |= not block.failed
    for name, blocks in _parts(job, folder):
        # One entry a mini-batch: another part may hold any of them.
        kept = [block for block in blocks if not block.failed or not (retry_failed or whole[block.mini_batch])]
        ledger.adopt(job.name, part=name, entries=[Entry.of(block) for block in kept])


def _open_plan(job: Job, manifest: ManifestReader, ledger: Ledger) -> int:
    """Tell the ledger of the plan so far; return how many mini-batches it holds."""
    planned = 0
    for chunk in manifest.chunks():
        ledger.extend(job.name, first=chunk.first, count=chunk.count, items=chunk.items, size=chunk.size, closed=False)
        planned = chunk.last + 1
    if manifest.totals() is not None:
        ledger.extend(job.name, first=planned, count=0, items=0, size=0, closed=True)
    return planned


def _parts(job: Job, folder: Store) -> Iterator[tuple[str, list[Block]]]:
    """Yield the parts that can be read, by name, with their blocks."""
    for name in sorted(list_parts(folder)):
        try:
            with PartReader(folder, name) as part:
                blocks = part.blocks()
        except Corrupt as error:
            log.warning("job %s: %s; what it held is scored again", job.name, error)
            continue
        yield name, blocks
