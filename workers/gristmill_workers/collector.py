"""Finished mini-batches, gathered into parts: made durable first, told to the ledger after."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gristmill import log_context
from gristmill.errors import GristmillError, StorageFailed, unexpected
from gristmill.spec import Settings
from gristmill_storage import job_folder
from gristmill_storage.files import Store
from gristmill_storage.ledger import Commit, Entry
from gristmill_storage.parts import Block, PartWriter, part_name
from gristmill_storage.patient_store import patience_of
from gristmill_storage.store import shown
from gristmill_storage.tallies import Tallies, count_outcome, encode

#: Bytes of rows at which a part is sealed.
PART_BYTES: Final = 16 * 1024 * 1024

#: Seconds after which the first part is sealed, how much longer each next one is kept, and the longest.
FIRST_SECONDS: Final = 0.25
GROWTH: Final = 1.5
LONGEST_SECONDS: Final = 10.0

#: Sealed parts that may wait for the disk before scoring waits for them.
SEALING_LIMIT: Final = 2

log = logging.getLogger("gristmill.node")


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A part that was written and not yet sealed."""

    writer: PartWriter
    name: str
    entries: list[Entry]


class _Kept:
    """A mini-batch's outcome that stands in the part, without its errors, which may be long; their counts stay."""

    __slots__ = ("amounts", "block", "token")

    def __init__(self, token: str, block: Block) -> None:
        self.token = token
        self.amounts: Counter[str] | None = None
        if block.errors:
            self.amounts = Counter()
            count_outcome(self.amounts, block)
            block = replace(block, errors=())
        self.block = block

    def count(self, amounts: Counter[str]) -> None:
        """Add what the outcome tells."""
        if self.amounts is None:
            count_outcome(amounts, self.block)
        else:
            amounts.update(self.amounts)


class Collector:
    """Writes blocks into a part and says when it is time to seal it."""

    def __init__(self, folder: Store, settings: Settings, *, epoch: str, instance: str) -> None:
        """Take the job's folder, the deployment's settings, and whose parts these are."""
        self._folder = folder
        self._flush_bytes = settings.tuning.flush_bytes or PART_BYTES
        self._epoch = epoch
        self._instance = instance
        #: An entry counts whole or not at all: neighbours must not share one where another attempt may come first.
        self._apart = settings.speculate
        self._serial = 0
        self._keep_seconds = FIRST_SECONDS
        self._begun = 0.0
        self._writer: PartWriter | None = None
        self._name = ""
        self._blocks: list[_Kept] = []
        self._bytes = 0

    @property
    def empty(self) -> bool:
        """Whether nothing was added since the last `take`."""
        return not self._blocks

    @property
    def due(self) -> bool:
        """Whether the part is large or old enough to be sealed."""
        return not self.empty and (
            self._bytes >= self._flush_bytes or time.monotonic() - self._begun >= self._keep_seconds
        )

    def holds(self, mini_batch: int) -> bool:
        """Whether an outcome of that mini-batch was added since the last `take`."""
        return any(kept.block.mini_batch == mini_batch for kept in self._blocks)

    def add(self, token: str, block: Block, data: bytes, spool: Path | None, files: Path | None) -> None:
        """Add a mini-batch's outcome; `spool` holds its rows where `data` does not, `files` what its script wrote.

        Raises:
            StorageFailed: the store does not take it.

        """
        writer = self._writer or self._begin(block.mini_batch)
        if files is not None:
            self._place(files, block)
        if spool is not None:
            writer.add(block, spool=spool)
            spool.unlink(missing_ok=True)
        else:
            writer.add(block, data)
        self._blocks.append(_Kept(token, block))
        self._bytes += block.size

    def _begin(self, mini_batch: int) -> PartWriter:
        self._serial += 1
        self._begun = time.monotonic()
        self._name = part_name(self._epoch, mini_batch, self._instance, self._serial)
        self._writer = PartWriter(self._folder, self._name)
        return self._writer

    def _place(self, files: Path, block: Block) -> None:
        """Put what a script wrote into the job's folder, under the part that will name it."""
        target = job_folder.files_folder(self._name, block.mini_batch)
        for name in block.files:
            move_into(self._folder, f"{target}/{name}", files / name)
        shutil.rmtree(files, ignore_errors=True)

    def take(self) -> Draft | None:
        """Hand over what was added, to be sealed; None when that is nothing."""
        if self._writer is None:
            return None
        draft = Draft(writer=self._writer, name=self._name, entries=list(_entries(self._blocks, apart=self._apart)))
        self._keep_seconds = min(LONGEST_SECONDS, self._keep_seconds * GROWTH)
        self._writer, self._blocks, self._bytes = None, [], 0
        return draft

    def discard(self) -> None:
        """Drop what was added and not taken."""
        if self._writer is not None:
            self._writer.discard()
            self._writer, self._blocks, self._bytes = None, [], 0


def move_into(store: Store, path: str, source: Path) -> None:
    """Give a local file a place in a store; it is moved where both are on one file system.

    Raises:
        StorageFailed: the store does not take it.

    """
    local = store.local_path(path)
    if local is not None:
        patience_of(store).call(lambda: _move(source, local), of=store.url, writing=True)
        return
    with source.open("rb") as stream, store.writer(path, overwrite=True) as writer:
        writer.copy_from(stream, 0, source.stat().st_size)
        writer.publish()


def _move(source: Path, target: Path) -> None:
    """Move a file, durable; called again after a failure, it goes on where it was."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.exists():
            shutil.move(source, target)
        _sync(target)
        _sync(target.parent)
    except OSError as error:
        raise StorageFailed(f"{shown(str(target))}: cannot be written: {error.strerror or error}") from error


def _sync(path: Path) -> None:
    """Have the disk hold a file, or a folder's names, before a part says that they are there."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _entries(blocks: Iterable[_Kept], *, apart: bool) -> Iterator[Entry]:
    """Yield one entry for each run of neighbours under one lease, or for each mini-batch."""
    run: list[_Kept] = []
    for kept in sorted(blocks, key=lambda each: each.block.mini_batch):
        if run and (apart or kept.token != run[-1].token or kept.block.mini_batch != run[-1].block.mini_batch + 1):
            yield _entry(run)
            run = []
        run.append(kept)
    if run:
        yield _entry(run)


def _entry(run: Sequence[_Kept]) -> Entry:
    """Return one entry for neighbours under one lease."""
    amounts: Counter[str] = Counter()
    items = succeeded = failed = rows = size = 0
    for kept in run:
        block = kept.block
        items += block.items
        succeeded += block.succeeded
        failed += block.failed
        rows += block.rows
        size += block.size
        kept.count(amounts)
    return Entry(
        token=run[0].token,
        first=run[0].block.mini_batch,
        last=run[-1].block.mini_batch,
        items=items,
        succeeded=succeeded,
        failed=failed,
        rows=rows,
        size=size,
        tallies=encode(amounts),
    )


class Committer:
    """Seals parts and commits them in a thread of its own, one after the other, while scoring goes on."""

    def __init__(
        self,
        commit: Callable[[str, list[Entry]], Commit],
        *,
        tallies: Tallies | None = None,
        around: Callable[[str, list[Entry]], contextlib.AbstractContextManager[None]] | None = None,
    ) -> None:
        """Take what tells the ledger of a durable part.

        How long parts took to be durable is counted in `tallies`; each is sealed and committed within `around` it.
        """
        self._commit = commit
        self._around = around
        self._tallies = tallies or Tallies()
        self._drafts: queue.Queue[Draft | None] = queue.Queue(SEALING_LIMIT)
        self._handed = self._ended = 0
        self._error: GristmillError | None = None
        self._thread = log_context.Thread(self._run, name="commit")
        self._thread.start()

    def put(self, draft: Draft) -> None:
        """Hand over a part; waits while too many wait for the disk.

        Raises:
            GristmillError: what ended an earlier commit.

        """
        self.check()
        self._handed += 1
        self._drafts.put(draft)

    @property
    def busy(self) -> bool:
        """Whether a part that was handed over is not committed yet."""
        return self._ended < self._handed

    def check(self) -> None:
        """Raise what ended a commit, if something did."""
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Commit what waits, then end.

        Raises:
            GristmillError: what ended a commit.

        """
        self._drafts.put(None)
        self._thread.join()
        self.check()

    def _run(self) -> None:
        while (draft := self._drafts.get()) is not None:
            if self._error is None:
                self._try(draft)
            else:
                draft.writer.discard()
            self._ended += 1

    def _try(self, draft: Draft) -> None:
        try:
            with self._around(draft.name, draft.entries) if self._around is not None else contextlib.nullcontext():
                self._seal(draft)
        except GristmillError as error:
            self._error = error
        except Exception as error:
            log.exception("a part could not be sealed")
            self._error = unexpected(f"sealing part {draft.name}", error)

    def _seal(self, draft: Draft) -> None:
        began = time.monotonic()
        with contextlib.ExitStack() as stack:
            stack.callback(draft.writer.discard)
            draft.writer.seal()
            stack.pop_all()
        self._tallies.timed("commit", time.monotonic() - began)
        answer = self._commit(draft.name, draft.entries)
        if answer.refused:
            log.info("part %s: %s came too late and does not count", draft.name, answer.refused)
