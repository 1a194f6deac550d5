"""The manifest: a job's items in order, cut into mini-batches, written once and never changed.

It lies in the job's folder in chunks, so that scoring starts while the input is still being listed, and nobody has to
hold it whole. A chunk is a file of JSON lines, a mini-batch a line, numbered from 0 without gaps:

    manifest/000000000000-000000000031.jsonl    {"n":0,"items":["a.png","b/c.png"],"bytes":2048}
    manifest/end.json                           {"mini_batches":32,"items":64,"bytes":65536}

Lines are ASCII: any other letter of a name, and bytes that are no UTF-8, are escaped as JSON does, and come back as
they were. Chunks are created if absent, under their first and last number: who plans again what was planned before
writes the same bytes, and that is fine. `end.json` says that the plan is whole.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from json.encoder import encode_basestring_ascii
from typing import Any, Final

from gristmill.errors import AlreadyExists, Corrupt, NotFound
from gristmill_storage.job_folder import MANIFEST, MANIFEST_END, chunk_path, parse_chunk_path
from gristmill_storage.minibatches import ChunkInfo, Item, MiniBatch, Totals, cut, is_hostile
from gristmill_storage.store import Store, shown

__all__ = ["Chunk", "ChunkInfo", "Item", "ManifestReader", "ManifestWriter", "MiniBatch", "Totals", "cut", "is_hostile"]

#: Mini-batches of the first chunk; each further one may hold twice as many as the one before.
FIRST_CHUNK: Final = 32
#: Mini-batches of the largest chunk.
LARGEST_CHUNK: Final = 4096
#: Bytes at which a chunk is closed before it has its number of mini-batches.
CHUNK_BYTES: Final = 4 << 20
#: Seconds after which the first chunk is closed before it is full; twice as many for each further one.
FIRST_SECONDS: Final = 0.2
#: Seconds after which any chunk is closed before it is full.
MOST_SECONDS: Final = 2.0
#: What `json.loads` does, without its overhead a call.
_DECODE: Final = json.JSONDecoder().raw_decode
#: Chunks that a reader keeps in memory.
_KEPT_CHUNKS: Final = 4


class PlannedElsewhere(Corrupt):
    """Another planner of the same job was here first, and cut its chunks elsewhere: go on behind them."""


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
        for chunk in resume.chunks() if resume else ():
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
            Corrupt: another plan's chunk is in the way.

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
        if not self._lines:
            return None
        chunk = ChunkInfo(first=self._totals.mini_batches, count=len(self._lines), items=self._items, size=self._size)
        self._refuse_other(chunk)
        _create_same(self._store, chunk_path(chunk.first, chunk.last), "".join(self._lines).encode("ascii"))
        self._count(chunk)
        self._start_chunk()
        return chunk

    def close(self) -> ChunkInfo | None:
        """Write what is left, and that the plan is whole; return the last chunk if this wrote one."""
        chunk = self.flush()
        document = {
            "mini_batches": self._totals.mini_batches,
            "items": self._totals.items,
            "bytes": self._totals.size,
        }
        _create_same(self._store, MANIFEST_END, json.dumps(document).encode())
        return chunk

    def _start_chunk(self) -> None:
        self._lines: list[str] = []
        self._bytes = self._items = self._size = 0
        self._since = self._clock()

    def _count(self, chunk: ChunkInfo) -> None:
        self._totals = self._totals.plus(chunk)
        self._limit = min(2 * self._limit, LARGEST_CHUNK)
        self._seconds = min(2 * self._seconds, MOST_SECONDS)

    def _refuse_other(self, chunk: ChunkInfo) -> None:
        """Refuse to write beside a chunk that another planner cut elsewhere: the two would hold items twice."""
        for first, last in _spans(self._store):
            if first <= chunk.last and last >= chunk.first and (first, last) != (chunk.first, chunk.last):
                raise PlannedElsewhere(
                    f"{self._store.url}/{chunk_path(first, last)}: another plan of this job is there already;"
                    f" resume it instead of planning mini-batch {chunk.first} again"
                )


def _line(mini_batch: MiniBatch) -> str:
    names = ",".join(map(encode_basestring_ascii, mini_batch.items))
    return f'{{"n":{mini_batch.number},"items":[{names}],"bytes":{mini_batch.size}}}\n'


def _create_same(store: Store, path: str, data: bytes) -> None:
    try:
        store.create(path, data)
    except AlreadyExists:
        if store.read(path) != data:
            raise Corrupt(f"{store.url}/{path}: holds another plan than the one that is written now") from None


def _spans(store: Store) -> Iterator[tuple[int, int]]:
    for entry in store.list(MANIFEST):
        span = parse_chunk_path(entry.path)
        if span:
            yield span


class Chunk:
    """One chunk in memory; a line is read when it is asked for."""

    def __init__(self, name: str, data: bytes, first: int, last: int) -> None:
        """Take the file's name (for messages), its bytes, and the numbers in its name.

        Raises:
            Corrupt: the number of lines is not the one in the name, or a byte is no ASCII.

        """
        self.first = first
        self.last = last
        self._name = shown(name)
        try:
            self._lines = data.decode("ascii").split("\n")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise Corrupt(
                f"{self._name}: line {line} holds the byte {data[error.start]:#x}, which is no ASCII"
            ) from None
        if self._lines.pop() or not self._lines:
            raise Corrupt(f"{self._name}: truncated: it does not end with a whole line")
        if len(self._lines) != last - first + 1:
            raise Corrupt(f"{self._name}: {len(self._lines)} mini-batches, not {last - first + 1} as its name says")

    def mini_batch(self, number: int) -> MiniBatch:
        """Return a mini-batch of the chunk.

        Raises:
            IndexError: it is not in the chunk.
            Corrupt: its line is damaged.

        """
        if not self.first <= number <= self.last:
            raise IndexError(f"mini-batch {number} is not in {self._name}")
        try:
            document, end = _DECODE(line := self._lines[number - self.first])
            found, items, size = document["n"], tuple(document["items"]), document["bytes"]
            text = "\0".join(items)
        except (ValueError, TypeError, KeyError) as error:
            raise self._damaged(number, f"it is no mini-batch ({error})") from None
        if end != len(line) or found != number or type(size) is not int or size < 0:
            raise self._damaged(number, f"n is {found!r}, bytes is {size!r}")
        text = f"\0{text}\0"  # joined by NUL: what can be in no name, and is fast to search
        if ".." in text or "\0/" in text or "\0\0" in text or text.count("\0") != len(items) + 1:
            self._check_names(number, items)
        return MiniBatch(number, items, size)

    def mini_batches(self, first: int | None = None, last: int | None = None) -> Iterator[MiniBatch]:
        """Yield the mini-batches from `first` to `last`, both included; by default all of the chunk."""
        start = self.first if first is None else first
        return map(self.mini_batch, range(start, (self.last if last is None else last) + 1))

    def info(self) -> ChunkInfo:
        """Read every line; return what the chunk holds."""
        items = size = 0
        for mini_batch in self.mini_batches():
            items += len(mini_batch.items)
            size += mini_batch.size
        return ChunkInfo(first=self.first, count=len(self._lines), items=items, size=size)

    def _check_names(self, number: int, items: tuple[str, ...]) -> None:
        if not items:
            raise self._damaged(number, "it has no items")
        for name in items:
            if is_hostile(name):
                raise self._damaged(number, f"the item {shown(name)!r} is no path in the input")

    def _damaged(self, number: int, what: str) -> Corrupt:
        return Corrupt(f"{self._name}: line {number - self.first + 1} (mini-batch {number}): {what}")


class ManifestReader:
    """Reads a manifest, also while it is still growing. Not for several threads at once."""

    def __init__(self, store: Store) -> None:
        """Take the job folder's store."""
        self._store = store
        self._last: dict[int, int] = {}
        self._kept: dict[int, Chunk] = {}

    def spans(self) -> list[tuple[int, int]]:
        """Return (first, last) of every chunk there is now, in order; from the names alone.

        Raises:
            Corrupt: mini-batches are missing between them, or are in two of them.

        """
        spans = sorted(_spans(self._store))
        expected = 0
        for first, last in spans:
            if first != expected or last < first:
                what = "missing" if first > expected else "there twice"
                name = chunk_path(first, last)
                raise Corrupt(f"{self._store.url}/{name}: mini-batches before or in this chunk are {what}")
            expected = last + 1
        self._last = dict(spans)
        return spans

    def chunk(self, first: int) -> Chunk:
        """Return the chunk that begins with this mini-batch.

        Raises:
            NotFound: there is none.
            Corrupt: it is damaged.

        """
        if first not in self._kept:
            if first not in self._last:
                self.spans()
            if first not in self._last:
                raise NotFound(f"{self._store.url}/{MANIFEST}: no chunk begins with mini-batch {first}")
            path = chunk_path(first, self._last[first])
            while len(self._kept) >= _KEPT_CHUNKS:
                del self._kept[next(iter(self._kept))]
            self._kept[first] = Chunk(f"{self._store.url}/{path}", self._store.read(path), first, self._last[first])
        return self._kept[first]

    def mini_batches(self, first: int = 0, last: int | None = None) -> Iterator[MiniBatch]:
        """Yield the mini-batches from `first` to `last`, both included; by default all that are planned now."""
        for start, end in self.spans():
            if end >= first and (last is None or start <= last):
                yield from self.chunk(start).mini_batches(max(start, first), end if last is None else min(end, last))

    def chunks(self) -> Iterator[ChunkInfo]:
        """Yield what each chunk holds, in order; this reads all of them."""
        for first, _ in self.spans():
            yield self.chunk(first).info()

    def last_item(self) -> str | None:
        """Return the last item planned, behind which a plan is resumed; None where nothing is planned."""
        spans = self.spans()
        return self.chunk(spans[-1][0]).mini_batch(spans[-1][1]).items[-1] if spans else None

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
