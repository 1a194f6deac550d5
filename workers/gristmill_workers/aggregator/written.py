"""The files that scripts wrote themselves, put into the output folder once their mini-batches count."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Final

from gristmill.errors import AlreadyExists, Corrupt, JobFailed, NotFound, OutputExists
from gristmill_storage import job_folder
from gristmill_storage.files import Store
from gristmill_storage.output_index import NEXT, IndexReader, WrittenFile, fingerprint
from gristmill_storage.store import BLOCK

#: Files made of lines: those that several mini-batches wrote under one name are put one after the other.
LINE_SUFFIXES: Final = frozenset({".jsonl", ".csv", ".txt"})


def known_files(folder: Store) -> dict[str, list[WrittenFile]]:
    """Return what indexes of earlier tries, and of what was published of the job before, say of written files."""
    known: dict[str, list[WrittenFile]] = {}
    for path in (NEXT, job_folder.INDEX):
        with suppress(NotFound, Corrupt):
            for file in IndexReader(folder, path).files():
                known.setdefault(file.name, []).append(file)
    return known


class WrittenFiles:
    """Gathers names while the merge goes through the mini-batches; `check` and `publish` follow."""

    def __init__(
        self,
        folder: Store,
        output: Store,
        *,
        job: str,
        reserved: Iterable[str],
        overwrite: bool,
        keep: bool = False,
        known: Mapping[str, list[WrittenFile]] | None = None,
    ) -> None:
        """Take what is put where.

        Args:
            folder: The job's folder.
            output: The output folder.
            job: The job's name.
            reserved: Our own names in the output folder.
            overwrite: Whether somebody else's files may be replaced.
            keep: Whether the files stay in the job's folder, too: more of the job is to come.
            known: What the job itself published before, by name: it may be replaced.

        """
        self._folder = folder
        self._output = output
        #: Where the job's folder lies in the output's.
        self._below = f"{job_folder.HIDDEN}/{job}"
        self._reserved = frozenset(reserved)
        self._overwrite = overwrite
        self._keep = keep
        self._known: Mapping[str, list[WrittenFile]] = known or {}
        self._looked_again = False
        self._sources: dict[str, list[tuple[int, str]]] = {}
        self._described: dict[str, WrittenFile] = {}

    def add(self, part: str, mini_batch: int, names: Iterable[str]) -> None:
        """Note what one mini-batch wrote."""
        for name in names:
            source = f"{job_folder.files_folder(part, mini_batch)}/{name}"
            self._sources.setdefault(name, []).append((mini_batch, source))

    def __len__(self) -> int:
        """Return how many files the output gets."""
        return len(self._sources)

    def check(self) -> None:
        """Refuse names that cannot be published.

        Raises:
            JobFailed: two mini-batches wrote a file of the same name that is not made of lines, or took a name of ours.

        """
        for name, sources in self._sources.items():
            if name in self._reserved:
                raise JobFailed(f"the script wrote {name}, which is a name of Gristmill's own; give it another")
            if len(sources) > 1 and PurePosixPath(name).suffix.lower() not in LINE_SUFFIXES:
                raise JobFailed(
                    f"{len(sources)} mini-batches wrote {name}; only files of lines "
                    f"({', '.join(sorted(LINE_SUFFIXES))}) are put together: derive the name from the input file",
                )

    def describe(self) -> Iterator[WrittenFile]:
        """Yield what each file will be, once all of them are known; this reads every one of them."""
        for name, sources in self._sources.items():
            self._described[name] = self._describe(name, sources)
            yield self._described[name]

    def _describe(self, name: str, sources: list[tuple[int, str]]) -> WrittenFile:
        sizes, crc = [], 0
        try:
            for mini_batch, source in sources:
                size = 0
                with self._folder.open(source) as file:
                    while data := file.read(BLOCK):
                        crc = zlib.crc32(data, crc)
                        size += len(data)
                sizes.append((mini_batch, size))
        except NotFound:
            return self._published_before(name, sources)
        return WrittenFile(name=name, crc=crc, sources=tuple(sizes))

    def _published_before(self, name: str, sources: list[tuple[int, str]]) -> WrittenFile:
        """Return what an earlier try, or another aggregator, which moved the file away, said of it before."""
        file = self._said(name, sources)
        if file is None and not self._looked_again:
            # Its index was durable before it moved the first file.
            self._known, self._looked_again = known_files(self._folder), True
            file = self._said(name, sources)
        if file is not None:
            return file
        present = fingerprint(self._output, name)
        if present is None:
            raise NotFound(f"{self._folder.url}/{sources[0][1]}: what the script wrote is gone")
        return WrittenFile(name=name, crc=present[1], sources=((sources[0][0], present[0]),))

    def _said(self, name: str, sources: list[tuple[int, str]]) -> WrittenFile | None:
        wanted = [number for number, _ in sources]
        return next((f for f in self._known.get(name, ()) if [number for number, _ in f.sources] == wanted), None)

    def publish(self) -> None:
        """Put every file into the output folder; going over it again after an interruption is fine.

        Raises:
            OutputExists: a file of that name is there, and it may not be replaced.

        """
        for name, sources in self._sources.items():
            paths = [source for _, source in sources]
            missing = not all(self._folder.exists(source) for source in paths)
            if missing and self._output.exists(name):
                continue  # an earlier try had put it there, and was ended after
            self._publish(name, paths)
        for place in {name.rpartition("/")[0] for name in self._sources}:
            self._output.sweep(place, recursive=False)

    def _publish(self, name: str, sources: list[str]) -> None:
        """Put a file in its place, unless it is there already."""
        try:
            self._put(name, sources, overwrite=self._overwrite or self._is_known(name))
        except AlreadyExists as error:
            described = self._described.get(name)
            if described is None or fingerprint(self._output, name) != (described.size, described.crc):
                raise OutputExists(f"output: {name} exists in {self._output.url}; allow --overwrite") from error
        except NotFound:
            # Another aggregator was faster between two looks.
            if not self._output.exists(name):
                raise

    def _is_known(self, name: str) -> bool:
        """Return whether what is there under a name was published by the job itself."""
        candidates = [(file.size, file.crc) for file in self._known.get(name, ())]
        return bool(candidates) and fingerprint(self._output, name) in candidates

    def _put(self, name: str, sources: list[str], *, overwrite: bool) -> None:
        if len(sources) == 1 and not self._keep:
            self._output.move(f"{self._below}/{sources[0]}", name, overwrite=overwrite)
            return
        with self._output.writer(name, overwrite=overwrite) as writer:
            for source in sources:
                with self._folder.open(source) as stream:
                    writer.copy_from(stream, 0, self._folder.size(source))
            writer.publish()
        if not self._keep:
            for source in sources:
                self._folder.delete(source)
