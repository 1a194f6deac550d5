"""What a job left: its results, its logs, and the items that failed."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from gristmill.errors import Corrupt, Mistake, NotFound, ResourceNotFound
from gristmill_scheduler.jobs.record import JobRecord
from gristmill_storage import job_folder
from gristmill_storage.files import Store, open_store

#: The results, and what Azure calls the artifacts: the logs.
SCORE: Final = "score"
DEFAULT: Final = "default"


@dataclass(frozen=True)
class Outputs:
    """What one job left."""

    record: JobRecord

    def files(self, output: str, *, after: str = "", limit: int) -> tuple[list[dict[str, Any]], str | None]:
        """Return the files of an output, sorted by path, and the last one's path if there are more.

        Args:
            output: "score" or "default"
            after: files of greater paths are told
            limit: how many at most

        Raises:
            ResourceNotFound: there is no output of that name.

        """
        found = ((path, size) for path, size in self._all(output) if _key(path) > _key(after))
        page = list(itertools.islice(found, limit + 1))
        shown: list[dict[str, Any]] = [{"path": path, "size": size} for path, size in page[:limit]]
        return shown, page[limit - 1][0] if len(page) > limit else None

    def open(self, output: str, path: str) -> tuple[BinaryIO, int]:
        """Return a file of an output, which can seek, and its size in bytes.

        Raises:
            ResourceNotFound: there is no such file.

        """
        store = self._store(output)
        first = path.partition("/")[0]
        allowed = first == job_folder.LOGS if output == DEFAULT else first != job_folder.HIDDEN
        try:
            if allowed:
                return store.open(path), store.size(path)
        except (NotFound, Mistake):
            pass
        raise ResourceNotFound(f"job {self.record.name}: output {output} has no file {path!r}")

    def errors(self, *, after: int = 0, limit: int) -> tuple[list[dict[str, Any]], int | None]:
        """Return rows of errors.jsonl, and where the next ones begin; None after the last.

        Args:
            after: byte at which the first row begins, as an earlier call returned it
            limit: how many at most

        """
        address = (self.record.result or {}).get("errors")
        if not address:
            return [], None
        folder, _, name = str(address).rpartition("/")
        store = open_store(folder)
        try:
            with store.open(name) as file:
                return _rows(file, after, store.size(name), limit)
        except NotFound:
            return [], None

    def _all(self, output: str) -> Iterator[tuple[str, int]]:
        store = self._store(output)
        start = job_folder.LOGS if output == DEFAULT else ""
        for entry in store.list(start):
            if output == DEFAULT or not entry.path.startswith(f"{job_folder.HIDDEN}/"):
                yield entry.path, entry.size

    def _store(self, output: str) -> Store:
        if output == SCORE:
            return open_store(self.record.job.output.folder)
        if output == DEFAULT:
            return open_store(self.record.folder)
        raise ResourceNotFound(
            f"job {self.record.name}: there is no output {output!r}; give {SCORE} (the results) or {DEFAULT} (the logs)"
        )


def _key(path: str) -> bytes:
    """Return what stores sort paths by."""
    return path.encode("utf-8", "surrogateescape")


def _rows(file: BinaryIO, after: int, size: int, limit: int) -> tuple[list[dict[str, Any]], int | None]:
    if not 0 <= after <= size:
        raise Mistake(f"after: {after} is none that an earlier page gave")
    file.seek(after)
    rows = []
    for line in itertools.islice(file, limit):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise Corrupt(f"errors.jsonl: the line at byte {after} is no JSON") from error
        after += len(line)
    return rows, after if after < size else None
