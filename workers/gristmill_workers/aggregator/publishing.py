"""The moment at which a job's results appear: once, whole, and never over what is somebody else's.

The index of the output to come is durable before (`output_index.NEXT`), and takes its place after. So whoever begins
again finds by the bytes themselves whether they had appeared: what is there is the job's own if and only if its size
and crc32 are those of the output to come, or of a part of it that was published before.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gristmill.errors import AlreadyExists, NotFound, OutputExists
from gristmill_storage import job_folder
from gristmill_storage.files import Store
from gristmill_storage.output_index import fingerprint
from gristmill_workers.aggregator.measured import Measured
from gristmill_workers.aggregator.partial import Fingerprint


class OutputPlace:
    """The place of the output file, and what may be replaced there."""

    def __init__(self, output: Store, name: str, *, overwrite: bool, own: tuple[Fingerprint, ...]) -> None:
        """Take the output folder, the file's name, whether anything there may be replaced, and what is the job's."""
        self._output = output
        self._name = name
        self._overwrite = overwrite
        self._own = own

    def writer(self) -> Measured:
        """Return a stream into the output file; `publish` makes it appear."""
        return Measured(self._output.writer(self._name, overwrite=self._overwrite or bool(self._own)))

    def refuse(self, rows: Measured) -> bool:
        """Return whether the very same output is there already.

        Raises:
            OutputExists: somebody else's is.

        """
        size = self._size()
        if size is None or (self._overwrite and size != rows.tell()):
            return False
        present = fingerprint(self._output, self._name) if size in self._sizes(rows) else (size, -1)
        if present == rows.fingerprint:
            return True
        if present is not None and not self._overwrite and present not in self._own:
            raise OutputExists(self._message())
        return False

    def publish(self, rows: Measured) -> None:
        """Make the output appear, unless the very same is there already: an earlier try's, or another's at this moment.

        Raises:
            OutputExists: somebody else's is.

        """
        if self.refuse(rows):
            return
        try:
            rows.publish()
        except AlreadyExists as error:
            if fingerprint(self._output, self._name) != rows.fingerprint:
                raise OutputExists(self._message()) from error

    def _size(self) -> int | None:
        try:
            return self._output.size(self._name)
        except NotFound:
            return None

    def _sizes(self, rows: Measured) -> set[int]:
        return {rows.tell(), *(size for size, _ in self._own)}

    def _message(self) -> str:
        return f"output: {self._name} appeared in {self._output.url} while the job ran; allow --overwrite"


@contextmanager
def publishing(folder: Store) -> Iterator[None]:
    """Note that from here on what counts is fixed: whoever resumes the job merges the same again.

    Where the first try finds somebody else's file, the note goes.
    """
    begun_before = folder.exists(job_folder.PUBLISHING)
    folder.replace(job_folder.PUBLISHING, b"{}")
    try:
        yield
    except OutputExists:
        if not begun_before:
            folder.delete(job_folder.PUBLISHING)
        raise
