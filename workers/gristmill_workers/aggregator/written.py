"""The files that scripts wrote themselves, put into the output folder once their mini-batches count."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Final

from gristmill.errors import AlreadyExists, JobFailed, OutputExists
from gristmill_storage import job_folder
from gristmill_storage.files import Store

#: Files made of lines: those that several mini-batches wrote under one name are put one after the other.
LINE_SUFFIXES: Final = frozenset({".jsonl", ".csv", ".txt"})


class WrittenFiles:
    """Gathers names while the merge goes through the mini-batches; `check` and `publish` follow."""

    def __init__(self, folder: Store, output: Store, *, job: str, reserved: Iterable[str], overwrite: bool) -> None:
        """Take the job's folder, the output folder, our own names in it, and whether others may be replaced."""
        self._folder = folder
        self._output = output
        #: Where the job's folder lies in the output's.
        self._below = f"{job_folder.HIDDEN}/{job}"
        self._reserved = frozenset(reserved)
        self._overwrite = overwrite
        self._sources: dict[str, list[str]] = {}

    def add(self, part: str, mini_batch: int, names: Iterable[str]) -> None:
        """Note what one mini-batch wrote."""
        for name in names:
            source = f"{job_folder.files_folder(part, mini_batch)}/{name}"
            self._sources.setdefault(name, []).append(source)

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

    def publish(self) -> None:
        """Put every file into the output folder; going over it again after an interruption is fine.

        Raises:
            OutputExists: a file of that name is there, and it may not be replaced.

        """
        for name, sources in self._sources.items():
            missing = not all(self._folder.exists(source) for source in sources)
            if missing and self._output.exists(name):
                continue  # an earlier try had put it there, and was ended after
            try:
                self._publish(name, sources)
            except AlreadyExists as error:
                raise OutputExists(f"output: {name} exists in {self._output.url}; allow --overwrite") from error

    def _publish(self, name: str, sources: list[str]) -> None:
        if len(sources) == 1:
            self._output.move(f"{self._below}/{sources[0]}", name, overwrite=self._overwrite)
            return
        with self._output.writer(name, overwrite=self._overwrite) as writer:
            for source in sources:
                with self._folder.open(source) as stream:
                    writer.copy_from(stream, 0, self._folder.size(source))
            writer.publish()
        for source in sources:
            self._folder.delete(source)
