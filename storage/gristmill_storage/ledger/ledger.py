"""The ledger of jobs in Redis: who holds what, what is done, what must be done again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gristmill_storage.ledger.records import Commit, Entry, Lease, Over, Range, Registration, Snapshot, Wait


class Ledger:
    """A client of the ledger. Safe to share between threads; every call may be repeated."""

    def __init__(self, url: str, *, timeout: float = 5.0, patience: float = 60.0) -> None:
        """Take the server's address; nothing is connected before the first call."""
        raise NotImplementedError

    def open(self, job: str, *, epoch: str, lease_seconds: float, error_threshold: int) -> None:
        """Begin a job."""
        raise NotImplementedError

    def extend(self, job: str, *, first: int, count: int, items: int, size: int, closed: bool) -> None:
        """Add one manifest chunk to the plan."""
        raise NotImplementedError

    def adopt(self, job: str, *, part: str, entries: Sequence[Entry]) -> None:
        """Take what a part on storage holds as done."""
        raise NotImplementedError

    def register(self, job: str, *, instance: str, info: Mapping[str, Any]) -> Registration:
        """Join a job."""
        raise NotImplementedError

    def renew(self, job: str, *, instance: str, info: Mapping[str, Any]) -> str:
        """Say that an instance is alive; returns the job's state."""
        raise NotImplementedError

    def leave(self, job: str, *, instance: str) -> None:
        """Leave a job; what is still held is returned."""
        raise NotImplementedError

    def lease(self, job: str, *, instance: str, limit: int, request: str | None = None) -> Lease | Wait | Over:
        """Lease at most `limit` mini-batches."""
        raise NotImplementedError

    def commit(self, job: str, *, instance: str, part: str, entries: Sequence[Entry]) -> Commit:
        """Say that a part is durable."""
        raise NotImplementedError

    def fail(self, job: str, *, instance: str, token: str, mini_batch: int, category: str, delay: float) -> bool:
        """Say that an attempt failed and is to be made again after `delay` seconds."""
        raise NotImplementedError

    def give_back(self, job: str, *, instance: str, token: str, ranges: Sequence[Range] | None) -> None:
        """Return ranges of a lease (None: all that is left of it) as they were."""
        raise NotImplementedError

    def stop(self, job: str, *, state: str, error: Mapping[str, Any] | None) -> bool:
        """End the leasing; the first call wins."""
        raise NotImplementedError

    def close(self, job: str, *, status: str) -> None:
        """End the job: its keys go within the hour."""
        raise NotImplementedError

    def snapshot(self, job: str) -> Snapshot:
        """Return the whole state of a job."""
        raise NotImplementedError

    def parts(self, job: str) -> Iterator[tuple[str, list[Range]]]:
        """Yield each part and the ranges that count from it, in no order."""
        raise NotImplementedError

    def wait(self, job: str, seconds: float) -> None:
        """Sleep until something happens that a coordinator cares about, or the time is over."""
        raise NotImplementedError

    def forget(self, job: str) -> None:
        """Delete all keys of a job."""
        raise NotImplementedError

    def disconnect(self) -> None:
        """Drop the connections; the next call makes new ones."""
        raise NotImplementedError
