"""Which items of a completed job are scored again, and where they stood: `retry.jsonl` of the job that does it.

A line for each mini-batch of that job, in order: {"mini_batch": the other job's, "first": 3, "items": 2}: its items
are those from the fourth to the fifth of the other's mini-batch. Together they are a run of failed items whose rows,
once there are some, stand at one place of the output. Where a mini-batch's good and failed items cannot be told apart
(`run()` gave fewer results than it had items), all of them are scored again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from gristmill.errors import Corrupt
from gristmill_storage.files import Store, Writer
from gristmill_storage.job_folder import RETRY
from gristmill_storage.output_index import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run of a mini-batch's items that are scored again, in one mini-batch of the retry."""

    #: Number of the mini-batch in the job that is retried.
    mini_batch: int
    #: Place of the first of the items in it, from 0.
    first: int
    items: int

    @property
    def end(self) -> int:
        """Place behind the last of the items."""
        return self.first + self.items


def runs_of(record: Record) -> Iterator[Run]:
    """Yield the runs of a mini-batch's items that are to be scored again, in order."""
    place, first = 0, None
    for unit in record.units():
        if unit.succeeded and first is not None:
            yield Run(mini_batch=record.mini_batch, first=first, items=place - first)
            first = None
        if not unit.succeeded:
            first = place if first is None else first
        elif unit.succeeded < unit.items:
            yield Run(mini_batch=record.mini_batch, first=place, items=unit.items)
        place += unit.items
    if first is not None:
        yield Run(mini_batch=record.mini_batch, first=first, items=place - first)


class RunWriter:
    """Writes the plan of a retry as a stream."""

    def __init__(self, folder: Store) -> None:
        """Take the folder of the job that scores again."""
        self._writer: Writer = folder.writer(RETRY, overwrite=True)

    def add(self, run: Run) -> None:
        """Take the next run."""
        line = f'{{"mini_batch":{run.mini_batch},"first":{run.first},"items":{run.items}}}\n'
        self._writer.write(line.encode("ascii"))

    def publish(self) -> None:
        """Make the plan appear, durable."""
        self._writer.publish()

    def close(self) -> None:
        """Discard what was not published."""
        self._writer.close()


def read_runs(folder: Store) -> Iterator[Run]:
    """Yield the runs that a job scores again, one for each of its mini-batches.

    Raises:
        NotFound: the job is no retry.
        Corrupt: the plan is damaged.

    """
    with folder.open(RETRY) as file:
        for number, line in enumerate(file, 1):
            try:
                document = json.loads(line)
                yield Run(**{key: int(document[key]) for key in ("mini_batch", "first", "items")})
            except (ValueError, TypeError, KeyError) as error:
                raise Corrupt(f"{folder.url}/{RETRY}: line {number} is no run of items ({error})") from None
