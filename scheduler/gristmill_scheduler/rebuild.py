"""The ledger, made again from what storage holds: the manifest says what there is to do, the parts what is done."""

from __future__ import annotations

import logging
import time

from gristmill.errors import Corrupt
from gristmill.spec import Job
from gristmill_storage.files import Store
from gristmill_storage.ledger import Entry, Ledger
from gristmill_storage.manifest import ManifestReader
from gristmill_storage.parts import PartReader, list_parts

log = logging.getLogger("gristmill.scheduler")


def new_epoch() -> str:
    """Return a name for a ledger's life; later lives sort behind earlier ones."""
    return f"{time.time_ns() // 1_000_000:013d}"


def rebuild(job: Job, folder: Store, ledger: Ledger, *, lease_seconds: float) -> None:
    """Open a job's ledger anew with everything that the job's folder proves to be done.

    Parts are taken in the order of their names and the first that holds a mini-batch wins, so every rebuild of the same
    folder gives the same output. A damaged part is passed over: what it held is scored again.
    """
    ledger.forget(job.name)
    ledger.open(
        job.name,
        epoch=new_epoch(),
        lease_seconds=lease_seconds,
        error_threshold=job.deployment.settings.error_threshold,
    )
    manifest = ManifestReader(folder)
    for chunk in manifest.chunks():
        ledger.extend(job.name, first=chunk.first, count=chunk.count, items=chunk.items, size=chunk.size, closed=False)
    totals = manifest.totals()
    if totals is not None:
        ledger.extend(job.name, first=totals.mini_batches, count=0, items=0, size=0, closed=True)
    for name in sorted(list_parts(folder)):
        try:
            with PartReader(folder, name) as part:
                # One entry a mini-batch: another part may hold any of them.
                entries = [Entry.of(block) for block in part.blocks()]
        except Corrupt as error:
            log.warning("job %s: %s; what it held is scored again", job.name, error)
            continue
        ledger.adopt(job.name, part=name, entries=entries)
