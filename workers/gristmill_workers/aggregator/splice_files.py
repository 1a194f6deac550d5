"""Files that scripts wrote when items were scored again, brought among those that the job published before.

A file of lines to which several mini-batches wrote gets the new lines at their mini-batch's place. Sources stay where
they are until the job is done, so that all of it can be done again.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import PurePosixPath

from gristmill.errors import AlreadyExists, JobFailed, OutputExists
from gristmill_storage import job_folder
from gristmill_storage.files import Store, Writer
from gristmill_storage.output_index import WrittenFile, fingerprint
from gristmill_storage.store import BLOCK, read_at
from gristmill_workers.aggregator.written import LINE_SUFFIXES


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A run of bytes that goes into a file."""

    mini_batch: int
    #: Path in the retry's folder; None: bytes of the file as it was published before.
    path: str | None
    start: int
    size: int


class SplicedFiles:
    """Gathers what was written again; `describe` and `publish` follow."""

    def __init__(
        self,
        folder: Store,
        output: Store,
        before: Iterable[WrittenFile],
        *,
        earlier: Iterable[WrittenFile],
        reserved: Iterable[str],
    ) -> None:
        """Take what is brought together.

        Args:
            folder: The folder of the job that scored again.
            output: The output folder.
            before: The files that were published before.
            earlier: What an earlier try was about to publish.
            reserved: Our own names in the output folder.

        """
        self._folder = folder
        self._output = output
        self._before = {file.name: file for file in before}
        self._earlier = {file.name: file for file in earlier}
        self._reserved = frozenset(reserved)
        self._dropped: set[int] = set()
        self._fresh: dict[str, list[_Source]] = {}
        self._coming: dict[str, tuple[WrittenFile, list[_Source]]] = {}

    def add(self, part: str, retried: int, mini_batch: int, names: Iterable[str], *, whole: bool) -> None:
        """Note what a retried mini-batch wrote.

        Args:
            part: The part that it belongs to.
            retried: The mini-batch's number in the retry.
            mini_batch: Its number in the job that is retried.
            names: The files.
            whole: Whether all of the mini-batch was scored again: what it wrote before goes.

        """
        if whole:
            self._dropped.add(mini_batch)
        for name in names:
            path = f"{job_folder.files_folder(part, retried)}/{name}"
            source = _Source(mini_batch=mini_batch, path=path, start=0, size=self._folder.size(path))
            self._fresh.setdefault(name, []).append(source)

    def describe(self) -> Iterator[WrittenFile]:
        """Yield all files of the output as they will be.

        Raises:
            JobFailed: a name is our own, or one that cannot be put together was written twice.

        """
        for name, file in self._before.items():
            if name not in self._fresh and not self._dropped.intersection(number for number, _ in file.sources):
                yield file
        gone = [name for name, file in self._before.items() if self._is_affected(name, file)]
        for name in dict.fromkeys((*gone, *self._fresh)):
            sources = sorted([*self._old_sources(name), *self._fresh.get(name, ())], key=lambda one: one.mini_batch)
            self._check(name, sources)
            described = self._describe(name, sources)
            self._coming[name] = described, sources
            if sources:
                yield described

    def _is_affected(self, name: str, file: WrittenFile) -> bool:
        return name in self._fresh or bool(self._dropped.intersection(number for number, _ in file.sources))

    def _old_sources(self, name: str) -> Iterator[_Source]:
        """Yield what stays of a file."""
        start = 0
        for number, size in self._before[name].sources if name in self._before else ():
            if number not in self._dropped:
                yield _Source(mini_batch=number, path=None, start=start, size=size)
            start += size

    def _check(self, name: str, sources: list[_Source]) -> None:
        if name in self._reserved:
            raise JobFailed(f"the script wrote {name}, which is a name of Gristmill's own; give it another")
        if len(sources) > 1 and PurePosixPath(name).suffix.lower() not in LINE_SUFFIXES:
            raise JobFailed(
                f"{name} was written before by another mini-batch, and only files of lines are put together"
            )

    def _describe(self, name: str, sources: list[_Source]) -> WrittenFile:
        present, sizes = fingerprint(self._output, name), tuple((one.mini_batch, one.size) for one in sources)
        earlier = self._earlier.get(name)
        if earlier is not None and earlier.sources == sizes and present == (earlier.size, earlier.crc):
            return earlier  # it is in its place already, so that the one before it cannot be read any more
        before = self._before.get(name)
        if present is not None and (before is None or present != (before.size, before.crc)):
            coming = WrittenFile(name=name, crc=self._crc(name, sources), sources=sizes) if before is None else None
            if coming is None or present != (coming.size, coming.crc):
                raise OutputExists(f"output: {name} in {self._output.url} is not what the job published; it stays")
            return coming
        return WrittenFile(name=name, crc=self._crc(name, sources), sources=sizes)

    def _crc(self, name: str, sources: list[_Source]) -> int:
        crc = 0
        for data in self._bytes(name, sources):
            crc = zlib.crc32(data, crc)
        return crc

    def _bytes(self, name: str, sources: list[_Source]) -> Iterator[bytes]:
        with ExitStack() as stack:
            for source in sources:
                store, path = (self._output, name) if source.path is None else (self._folder, source.path)
                file = stack.enter_context(store.open(path))
                start, left = source.start, source.size
                while left and (data := read_at(file, start, min(left, BLOCK))):
                    yield data
                    start, left = start + len(data), left - len(data)

    def publish(self) -> None:
        """Put every file that changes in its place; going over it again after an interruption is fine.

        Raises:
            OutputExists: somebody else's file of that name is there.

        """
        for name, (coming, sources) in self._coming.items():
            if not sources:
                self._output.delete(name)
            elif fingerprint(self._output, name) != (coming.size, coming.crc):
                with self._output.writer(name, overwrite=name in self._before) as writer:
                    self._fill(writer, name, sources)

    def _fill(self, writer: Writer, name: str, sources: list[_Source]) -> None:
        for data in self._bytes(name, sources):
            writer.write(data)
        try:
            writer.publish()
        except AlreadyExists as error:
            coming = self._coming[name][0]
            if fingerprint(self._output, name) != (coming.size, coming.crc):
                raise OutputExists(f"output: {name} exists in {self._output.url}; it stays as it is") from error
