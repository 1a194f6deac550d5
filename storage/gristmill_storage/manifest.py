"""The manifest: a job's items in order, cut into mini-batches, written once and never changed.

It lies in the job's folder in chunks, so that scoring starts while the input is still being listed, and nobody has to
hold it whole. A chunk is a file of JSON lines, a mini-batch a line, numbered from 0 without gaps, and a last line that
says where the next chunk begins, or that there is none:

    manifest/000000000000.jsonl    {"n":0,"items":["a.png","b/c.png"],"bytes":2048}
                                   ... 31 more ...
                                   {"next":32}
    manifest/000000000032.jsonl    {"n":32,"items":["d.png"],"bytes":512}
                                   {"next":33,"end":true}
    manifest/end.json              {"mini_batches":33,"items":65,"bytes":66048}

Lines are ASCII: any other letter of a name, and bytes that are no UTF-8, are escaped as JSON does, and come back as
they were. `end.json` says that the plan is whole.

Two may plan at once: one slept, another took its place, and then both go on, with listings that need not be the same.
A chunk is created if absent, under its first number alone, and only by who has written or read the one before. So
there is one chunk, or the end, behind each, whoever is first; who comes second goes on behind that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from json.encoder import encode_basestring_ascii
from typing import Any, Final

from gristmill.errors import AlreadyExists, Corrupt, NotFound
from gristmill_storage.job_folder import MANIFEST, MANIFEST_END, chunk_path, parse_chunk_path
from gristmill_storage.manifest_chunk import Chunk
from gristmill_storage.minibatches import ChunkInfo, Item, MiniBatch, Totals, cut, is_hostile
from gristmill_storage.store import Store

__all__ = ["Chunk", "ChunkInfo", "Item", "ManifestReader", "ManifestWriter", "MiniBatch", "Totals", "cut", "is_hostile"]

#: Mini-batches of the first chunk; each further one may hold twice as many as the one before.
FIRST_CHUNK: Final = 32
#: Mini-batches of the largest chunk.
LARGEST_CHUNK: Final = 4096
#: Bytes at which a chunk is closed before it has its number of mini-batches.
CHUNK_BYTES: Final = 1 << 20
#: Seconds after which the first chunk is closed before it is full; twice as many for each further one.
FIRST_SECONDS: Final = 0.2
#: Seconds after which any chunk is closed before it is full.
MOST_SECONDS: Final = 2.0
#: Chunks that a reader keeps in memory.
_KEPT_CHUNKS: Final = 2


class PlannedElsewhere(Corrupt):
    """Another planner of the same job was here first, and planned something else: go on behind that."""


class ManifestWriter:
    """Writes mini-batches into chunks: small ones first, so that scoring starts at once, then large ones.

    A chunk closes when it has its number of mini-batches, its bytes or its seconds; the seconds are looked at when a
    mini-batch comes. Whoever waits for a slow listing calls `flush` meanwhile.
    """

    def __init__(
        self, store: Store, *, resume: ManifestReader | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the job folder's store, and the reader of a plan to go on with."""
        self._store = store
        self._clock = clock
        self._totals = Totals()
        self._limit = FIRST_CHUNK
        self._seconds = FIRST_SECONDS
        #: What was planned before, and whether that was whole, but for the file that says so.
        self.resumed = list(resume.chunks()) if resume else []
        self.ended = resume.ends_with(self.resumed) if resume else False
        for chunk in self.resumed:
            self._count(chunk)
        self._start_chunk()

    @property
    def totals(self) -> Totals:
        """What the chunks written so far hold."""
        return self._totals

    @property
    def next(self) -> int:
        """Number of the mini-batch that `add` wants next."""
        return self._totals.mini_batches + len(self._lines)

    def add(self, mini_batch: MiniBatch) -> ChunkInfo | None:
        """Take the next mini-batch; return the chunk that this closed and wrote, or None.

        Raises:
            ValueError: its number is not the next one.
            PlannedElsewhere: another plan's chunk is in the way.

        """
        if mini_batch.number != self.next:
            raise ValueError(f"mini-batch {mini_batch.number} comes where {self.next} is due")
        line = _line(mini_batch)
        self._lines.append(line)
        self._bytes += len(line)
        self._items += len(mini_batch.items)
        self._size += mini_batch.size
        full = len(self._lines) >= self._limit or self._bytes >= CHUNK_BYTES
        return self.flush() if full or self._clock() - self._since >= self._seconds else None

    def flush(self) -> ChunkInfo | None:
        """Write the mini-batches not written yet as a chunk; None when there are none.

        Raises:
            PlannedElsewhere: another plan's chunk is in the way.

        """
        return self._write(end=False) if self._lines else None

    def _write(self, *, end: bool) -> ChunkInfo:
        chunk = ChunkInfo(first=self._totals.mini_batches, count=len(self._lines), items=self._items, size=self._size)
        path, lines = chunk_path(chunk.first), [*self._lines, _last_line(self.next, end=end)]
        if not _create_same(self._store, path, b"".join(lines)):
            raise PlannedElsewhere(
                f"{self._store.url}/{path}: another plan of this job is there already;"
                f" go on behind it instead of planning mini-batch {chunk.first} again"
            )
        self.ended = end
        self._count(chunk)
        self._start_chunk()
        return chunk

    def close(self) -> ChunkInfo | None:
        """Write what is left, and that the plan is whole; return the last chunk if this wrote one.

        Raises:
            PlannedElsewhere: another plan goes on here.
            Corrupt: the file that says what the whole plan holds says something else.

        """
        chunk = None if self.ended else self._write(end=True)
        document = {
            "mini_batches": self._totals.mini_batches,
            "items": self._totals.items,
            "bytes": self._totals.size,
        }
        if not _create_same(self._store, MANIFEST_END, json.dumps(document).encode()):
            raise Corrupt(f"{self._store.url}/{MANIFEST_END}: says something else than the chunks: {document}")
        return chunk if chunk and chunk.count else None

    def _start_chunk(self) -> None:
        self._lines: list[bytes] = []
        self._bytes = self._items = self._size = 0
        self._since = self._clock()

    def _count(self, chunk: ChunkInfo) -> None:
        self._totals = self._totals.plus(chunk)
        self._limit = min(2 * self._limit, LARGEST_CHUNK)
        self._seconds = min(2 * self._seconds, MOST_SECONDS)


def _line(mini_batch: MiniBatch) -> bytes:
    names = ",".join(map(encode_basestring_ascii, mini_batch.items))
    return f'{{"n":{mini_batch.number},"items":[{names}],"bytes":{mini_batch.size}}}\n'.encode("ascii")


def _last_line(number: int, *, end: bool) -> bytes:
    return b'{"next":%d%s}\n' % (number, b',"end":true' if end else b"")


def _create_same(store: Store, path: str, data: bytes) -> bool:
    """Return whether this is there now, by whomever."""
    try:
        store.create(path, data)
    except AlreadyExists:
        return store.read(path) == data
    return True


class ManifestReader:
    """Reads a manifest, also while it is still growing. Not for several threads at once."""

    def __init__(self, store: Store) -> None:
        """Take the job folder's store."""
        self._store = store
        #: Where the chunk behind each begins, as far as there is one.
        self._next: dict[int, int] = {}
        self._kept: dict[int, Chunk] = {}

    def spans(self) -> list[tuple[int, int]]:
        """Return (first, last) of every chunk there is now, in order; of the files, only the last one is read.

        Raises:
            Corrupt: mini-batches are missing before the first or the last, or the last one is damaged.

        """
        firsts = sorted(self._firsts())
        if firsts and firsts[0]:
            raise self._gap(firsts[0], "missing before it")
        self._next = dict(pairwise(firsts))
        spans = [(first, after - 1) for first, after in self._next.items()]
        if firsts and (last := self.chunk(firsts[-1])).count:
            spans.append((last.first, last.last))
        return spans

    def ends_with(self, chunks: Sequence[ChunkInfo]) -> bool:
        """Return whether these chunks, from the first one on, are a whole plan."""
        if chunks and self.chunk(chunks[-1].first).end:
            return True
        try:
            return self.chunk(chunks[-1].last + 1 if chunks else 0).count == 0
        except NotFound:
            return False

    def chunk(self, first: int) -> Chunk:
        """Return the chunk that begins with this mini-batch.

        Raises:
            NotFound: there is none.
            Corrupt: it is damaged, or the one behind it does not begin where it should.

        """
        if first not in self._kept:
            path = chunk_path(first)
            try:
                data = self._store.read(path)
            except NotFound:
                what = f"{self._store.url}/{MANIFEST}: no chunk begins with mini-batch {first}"
                raise NotFound(what) from None
            while len(self._kept) >= _KEPT_CHUNKS:
                del self._kept[next(iter(self._kept))]
            self._kept[first] = Chunk(f"{self._store.url}/{path}", data, first)
        chunk = self._kept[first]
        follower = self._next.get(first, chunk.next)
        if follower != chunk.next:
            raise self._gap(follower, "missing before it" if follower > chunk.next else "there twice")
        return chunk

    def _firsts(self) -> Iterator[int]:
        for entry in self._store.list(MANIFEST):
            first = parse_chunk_path(entry.path)
            if first is not None:
                yield first

    def _gap(self, first: int, what: str) -> Corrupt:
        return Corrupt(f"{self._store.url}/{chunk_path(first)}: mini-batches are {what}")

    def mini_batches(self, first: int = 0, last: int | None = None) -> Iterator[MiniBatch]:
        """Yield the mini-batches from `first` to `last`, both included; by default all that are planned now."""
        for start, end in self.spans():
            if end >= first and (last is None or start <= last):
                yield from self.chunk(start).mini_batches(max(start, first), end if last is None else min(end, last))

    def chunks(self) -> Iterator[ChunkInfo]:
        """Yield what each chunk holds, in order; this reads all of them."""
        for first, _ in self.spans():
            yield self.chunk(first).info()

    def last_item(self, chunks: Sequence[ChunkInfo]) -> str | None:
        """Return the last item of these chunks, behind which a plan is resumed; None where there are none."""
        return self.chunk(chunks[-1].first).mini_batch(chunks[-1].last).items[-1] if chunks else None

    def totals(self) -> Totals | None:
        """Return what the whole plan holds; None while it is not whole.

        Raises:
            Corrupt: the file that says so is damaged.

        """
        try:
            data = self._store.read(MANIFEST_END)
        except NotFound:
            return None
        try:
            document: dict[str, Any] = json.loads(data)
            counts = [document[key] for key in ("mini_batches", "items", "bytes")]
        except (ValueError, TypeError, KeyError) as error:
            raise Corrupt(f"{self._store.url}/{MANIFEST_END}: not the end of a manifest ({error})") from None
        if any(type(count) is not int or count < 0 for count in counts):
            raise Corrupt(f"{self._store.url}/{MANIFEST_END}: counts are {counts}")
        return Totals(mini_batches=counts[0], items=counts[1], size=counts[2])

    def verify(self) -> Totals:
        """Read the whole manifest; return what it holds.

        Raises:
            Corrupt: a chunk is damaged, or the plan's end says something else than the chunks.

        """
        found = Totals()
        for chunk in self.chunks():
            found = found.plus(chunk)
        stated = self.totals()
        if stated is not None and stated != found:
            raise Corrupt(f"{self._store.url}/{MANIFEST_END}: says {stated}, the chunks hold {found}")
        return found
