"""The plan: the input's listing, cut into mini-batches, written to the manifest in chunks while scoring goes on."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from functools import partial

from gristmill import log_context, tracing
from gristmill.counts import counted
from gristmill.errors import GristmillError, unexpected
from gristmill.spec import Job
from gristmill_scheduler.rebuild import extend_plan
from gristmill_storage.files import Store
from gristmill_storage.ledger import Ledger
from gristmill_storage.listing import Item, input_store, list_input
from gristmill_storage.manifest import ChunkInfo, ManifestReader, ManifestWriter, MiniBatch, PlannedElsewhere, cut
from gristmill_storage.patient_store import patience_of
from gristmill_storage.reach import Reach
from gristmill_storage.splitting import Splitter

log = logging.getLogger("gristmill.scheduler")


class Planner:
    """Lists a job's input in a thread of its own; goes on where an earlier plan of the same job ended."""

    def __init__(self, job: Job, folder: Store, ledger: Ledger) -> None:
        """Take the job, its folder, and the ledger that is told of each chunk."""
        self._job = job
        self._folder = folder
        self._ledger = ledger
        self._stopping = threading.Event()
        self._error: GristmillError | None = None
        self._span = tracing.NO_SPAN
        self._thread = log_context.Thread(self._run, name=f"plan-{job.name}")

    def start(self) -> None:
        """Begin (or go on) listing."""
        self._thread.start()

    def check(self) -> None:
        """Raise what ended the plan, if something did."""
        if self._error is not None:
            raise self._error

    def stop(self) -> None:
        """End the listing, done or not, and wait for it."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            # It can be begun again at any point. The stores that it writes to are patient themselves.
            about = {"gristmill.job": self._job.name}
            with tracing.span("gristmill.plan", parent=self._job.traceparent, attributes=about) as self._span:
                patience_of(self._folder).call(self._plan, of="input")
        except GristmillError as error:
            self._error = error
        except Exception as error:
            log.exception("the listing of job %s failed", self._job.name)
            self._error = unexpected("the listing", error)

    def _plan(self) -> None:
        """Write the manifest, whole; where another planner (of a scheduler that slept) does too, go on behind it."""
        while not self._stopping.is_set():
            try:
                self._write()
            except PlannedElsewhere as error:
                log.info("job %s: %s", self._job.name, error)
            else:
                return

    def _write(self) -> None:
        """Write what is not planned yet; each chunk is in storage before the ledger hears of it."""
        known = self._ledger.snapshot(self._job.name).planned
        reader = ManifestReader(self._folder)
        if reader.totals() is not None:
            extend_plan(self._job, self._folder, self._ledger, known=known)
            return
        writer = ManifestWriter(self._folder, resume=reader)
        for chunk in writer.resumed:
            # Another planner may not have come to tell the ledger.
            if chunk.last >= known:
                self._extend(chunk)
        for mini_batch in self._mini_batches(writer, after=reader.last_item(writer.resumed)):
            if self._stopping.is_set():
                return
            self._extend(writer.add(mini_batch))
        self._extend(writer.close())
        self._close(writer.next)

    def _mini_batches(self, writer: ManifestWriter, *, after: str | None) -> Iterator[MiniBatch]:
        """Yield those that are not planned yet."""
        settings = self._job.deployment.settings
        if not writer.ended:
            size, most = settings.mini_batch_size, settings.mini_batch_bytes
            if most is None and settings.split_files:
                most = settings.split_bytes  # a slice is work enough for one run()
            yield from cut(self._items(after), size=size, max_bytes=most, first=writer.next)

    def _extend(self, chunk: ChunkInfo | None) -> None:
        if chunk is not None:
            self._ledger.extend(
                self._job.name,
                first=chunk.first,
                count=chunk.count,
                items=chunk.items,
                size=chunk.size,
                closed=False,
            )

    def _close(self, planned: int) -> None:
        self._span.put({"gristmill.mini_batch.count": planned})
        log.info("job %s: its input is listed: %s", self._job.name, counted(planned, "mini-batch"))
        self._ledger.extend(self._job.name, first=planned, count=0, items=0, size=0, closed=True)

    def _items(self, after: str | None) -> Iterator[Item]:
        """Yield the input's items; those up to and with `after` are planned already."""
        settings = self._job.deployment.settings
        reach = Reach.of(self._job.allow_hosts)
        items = list_input(
            self._job.input,
            recursive=settings.recursive,
            sizes=settings.split_files or settings.mini_batch_bytes is not None,
            reach=reach,
        )
        if settings.split_files:
            opened = partial(input_store, self._job.input, reach=reach)
            yield from Splitter(self._job.input, opened, size=settings.split_bytes).items(items, after=after)
            return
        if after is None:
            yield from items
            return
        last = _bytes(after)
        yield from (item for item in items if _bytes(item.name) > last)


def _bytes(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
