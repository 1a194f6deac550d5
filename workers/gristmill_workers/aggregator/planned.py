"""The manifest's items, for whoever goes through a job's mini-batches in their order."""

from __future__ import annotations

from collections.abc import Iterator

from gristmill_storage.files import Store
from gristmill_storage.manifest import ManifestReader, MiniBatch


class Planned:
    """Reads a manifest as a stream."""

    def __init__(self, folder: Store, *, readable: bool = True) -> None:
        """Take the job's folder; with `readable` false nothing is read, and nothing known."""
        self._mini_batches: Iterator[MiniBatch] = ManifestReader(folder).mini_batches() if readable else iter(())
        self._next = next(self._mini_batches, None)

    def items(self, number: int) -> tuple[str, ...] | None:
        """Return a mini-batch's items; None where it is not planned, or a later one was asked for before."""
        while self._next is not None and self._next.number < number:
            self._next = next(self._mini_batches, None)
        return self._next.items if self._next is not None and self._next.number == number else None
