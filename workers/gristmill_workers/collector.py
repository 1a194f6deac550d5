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
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Final

from gristmill import log_context
from gristmill.errors import GristmillError, StorageFailed, unexpected
from gristmill.spec import Settings
from gristmill_storage import job_folder
from gristmill_storage.files import Store
from gristmill_storage.ledger import Commit, Entry
from gristmill_storage.parts import Block, Blocks, PartWriter, part_name
from gristmill_storage.patient_store import patience_of
from gristmill_storage.store import shown
from gristmill_storage.tallies import Tallies, count_outcome, count_runs, encode

#: Bytes of rows at which a part is sealed.
PART_BYTES: Final = 16 * 1024 * 1024

#: Mini-batches at which a part is sealed: whoever merges holds the index of a part, and every instance has one.
PART_BLOCKS: Final = 4096

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


@dataclass(kw_only=True, slots=True)
class _Kept:
    """What stands in the part of neighbours under one lease, as the ledger is to be told of it."""

    token: str
    first: int
    last: int
    items: int
    succeeded: int
    rows: int
    #: Bytes of the rows.
    size: int
    #: What is counted beside that.
    amounts: Counter[str]

    def absorb(self, other: _Kept) -> bool:
        """Take what comes right behind, under the same lease; False: it does not."""
        if other.token != self.token or other.first != self.last + 1:
            return False
        self.last = other.last
        self.items += other.items
        self.succeeded += other.succeeded
        self.rows += other.rows
        self.size += other.size
        self.amounts.update(other.amounts)
        return True

    def entry(self) -> Entry:
        """Return what the ledger is told."""
        return Entry(
            token=self.token,
            first=self.first,
            last=self.last,
            items=self.items,
            succeeded=self.succeeded,
            failed=self.items - self.succeeded,
            rows=self.rows,
            size=self.size,
            tallies=encode(self.amounts),
        )


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
        self._kept: list[_Kept] = []
        self._bytes = self._blocks = 0

    @property
    def empty(self) -> bool:
        """Whether nothing was added since the last `take`."""
        return not self._kept

    @property
    def due(self) -> bool:
        """Whether the part is large or old enough to be sealed."""
        return not self.empty and (
            self._bytes >= self._flush_bytes
            or self._blocks >= PART_BLOCKS
            or time.monotonic() - self._begun >= self._keep_seconds
        )

    def holds(self, mini_batch: int) -> bool:
        """Whether an outcome of that mini-batch was added since the last `take`."""
        return any(kept.first <= mini_batch <= kept.last for kept in self._kept)

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
        self._keep(_kept(token, block))

    def add_all(self, tokens: Sequence[str], blocks: Blocks, data: bytes) -> None:
        """Add the outcomes of mini-batches, each leased under its token; `data` holds their rows, in order.

        Raises:
            StorageFailed: the store does not take it.

        """
        writer = self._writer or self._begin(blocks.mini_batches[0])
        writer.add_all(blocks, data)
        for kept in _kept_of(tokens, blocks):
            self._keep(kept)

    def _keep(self, kept: _Kept) -> None:
        self._bytes += kept.size
        self._blocks += kept.last - kept.first + 1
        if self._apart or not self._kept or not self._kept[-1].absorb(kept):
            self._kept.append(kept)

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
        draft = Draft(writer=self._writer, name=self._name, entries=list(_entries(self._kept, apart=self._apart)))
        self._keep_seconds = min(LONGEST_SECONDS, self._keep_seconds * GROWTH)
        self._writer, self._kept, self._bytes, self._blocks = None, [], 0, 0
        return draft

    def discard(self) -> None:
        """Drop what was added and not taken."""
        draft = self.take()
        if draft is not None:
            draft.writer.discard()


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


def remove(*paths: Path | None) -> None:
    """Remove files and folders with all that is in them, where they are."""
    for path in filter(None, paths):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


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


def _kept(token: str, block: Block) -> _Kept:
    amounts: Counter[str] = Counter()
    count_outcome(amounts, block)
    return _Kept(
        token=token,
        first=block.mini_batch,
        last=block.mini_batch,
        items=block.items,
        succeeded=block.succeeded,
        rows=block.rows,
        size=block.size,
        amounts=amounts,
    )


def _kept_of(tokens: Sequence[str], blocks: Blocks) -> Iterator[_Kept]:
    """Yield what is kept of blocks: one for each run of neighbours under one lease."""
    numbers, first = blocks.mini_batches, 0
    for end in range(1, len(numbers) + 1):
        if end < len(numbers) and tokens[end] == tokens[first] and numbers[end] == numbers[end - 1] + 1:
            continue
        amounts: Counter[str] = Counter()
        count_runs(amounts, blocks.microseconds[first:end])
        items = sum(blocks.items[first:end])
        yield _Kept(
            token=tokens[first],
            first=numbers[first],
            last=numbers[end - 1],
            items=items,
            succeeded=items,
            rows=sum(blocks.rows[first:end]),
            size=sum(blocks.sizes[first:end]),
            amounts=amounts,
        )
        first = end


def _entries(blocks: Iterable[_Kept], *, apart: bool) -> Iterator[Entry]:
    """Yield one entry for each run of neighbours under one lease, or for each mini-batch."""
    run: _Kept | None = None
    for kept in sorted(blocks, key=attrgetter("first")):
        if run is not None and (apart or not run.absorb(kept)):
            yield run.entry()
            run = kept
        run = run or kept
    if run is not None:
        yield run.entry()


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
            del draft  # it is megabytes, and the next may be long in coming

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
