"""Where the items of a mini-batch lie on this machine: where they are, or fetched there while others are scored."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from gristmill.errors import GristmillError
from gristmill.spec import Input, Job
from gristmill.states import Category
from gristmill_storage.fetching import contained, fetch, local_name
from gristmill_storage.listing import input_root, input_store
from gristmill_storage.patience import Patience
from gristmill_storage.patient_store import patient
from gristmill_storage.reach import Reach
from gristmill_storage.slice_fetching import fetch_item
from gristmill_storage.tallies import Tallies
from gristmill_workers.work import Failed, Work

if TYPE_CHECKING:
    from gristmill_storage.copier import Copier

#: Items that are fetched ahead of the scorers.
FETCH_AHEAD: Final = 128


class Inputs(Protocol):
    """Brings mini-batches from leased to ready."""

    #: The folder that item names are relative to, on this machine.
    root: str
    #: Items that are to be fetched ahead of the scorers; None where none are fetched.
    ahead: int | None

    def want(self, works: Iterable[Work]) -> None:
        """Begin to make mini-batches ready."""

    def ready(self, waiting: deque[Work]) -> list[Failed]:
        """Move the mini-batches that became ready to `waiting`, in order; return those that cannot be had.

        Those that are to be alone, which others wait for, go to its left.
        """

    def done(self, work: Work) -> None:
        """Free what a mini-batch holds: its attempt has ended."""

    def give_up(self) -> list[Work]:
        """Forget the mini-batches that are not ready yet; return them."""

    @property
    def pending(self) -> int:
        """How many mini-batches are not ready yet."""

    def close(self) -> None:
        """End what is under way."""


class LocalInputs:
    """Items on this machine's file systems: ready as they are."""

    ahead: int | None = None

    def __init__(self, root: str, *, split: bool = False) -> None:
        """Take the input's root folder, and whether items may be slices of tables."""
        self.root = root
        self._split = split
        self._works: deque[Work] = deque()

    def want(self, works: Iterable[Work]) -> None:
        """Take them as ready."""
        self._works.extend(_split(works) if self._split else works)

    def ready(self, waiting: deque[Work]) -> list[Failed]:
        """Hand them on."""
        _queue(self._works, waiting)
        self._works.clear()
        return []

    def give_up(self) -> list[Work]:
        """Return them."""
        works = list(self._works)
        self._works.clear()
        return works

    def done(self, work: Work) -> None:
        """Do nothing: the user's files stay."""

    @property
    def pending(self) -> int:
        """Return 0 but between `want` and `ready`."""
        return len(self._works)

    def close(self) -> None:
        """Do nothing."""


@dataclass
class _Copy:
    """An item's copy, or the fetching of it, and how many mini-batches, pieces and copies of such want it."""

    future: Future[Path]
    wanted: int = 0

    @property
    def failed(self) -> bool:
        return self.future.done() and (self.future.cancelled() or self.future.exception() is not None)


class FetchedInputs:
    """Items of a remote store, copied to a folder of this instance and removed when nothing there needs them."""

    def __init__(
        self,
        given: Input,
        folder: Path,
        patience: Patience,
        *,
        tallies: Tallies | None = None,
        reach: Reach | None = None,
        split: bool = False,
        ahead: int | None = FETCH_AHEAD,
    ) -> None:
        """Take the input, the folder that it is copied to, and how long its store is waited for.

        How long mini-batches took to come is counted in `tallies`. Web addresses may lead where `reach` says. `split`:
        items may be slices of tables.
        """
        self._split = split
        self.ahead = ahead
        self.root = str(folder)
        self._folder = folder
        self._store = patient(input_store(given, reach=reach), patience)
        # It imports asyncio, which a node needs for nothing else: items of this machine do without.
        make: type[Copier] = import_module("gristmill_storage.copier").Copier
        self._copier = make(self._store, folder, self._fetch, whole=not split)
        self._fetching: deque[tuple[Work, list[Future[Path]]]] = deque()
        self._copies: dict[str, _Copy] = {}
        self._tallies = tallies or Tallies()

    def want(self, works: Iterable[Work]) -> None:
        """Begin to fetch what is not there."""
        for work in _split(works) if self._split else works:
            fetching = (work, [self._claim(item) for item in work.items])
            if work.alone:
                self._fetching.appendleft(fetching)
            else:
                self._fetching.append(fetching)
        self._copier.begin()

    def _claim(self, item: str) -> Future[Path]:
        copy = self._copies.get(item)
        if copy is None:
            copy = self._copies[item] = _Copy(self._copier.copy(item))
        elif copy.failed:
            copy.future = self._copier.copy(item)
        copy.wanted += 1
        return copy.future

    def _fetch(self, item: str) -> Path:
        return (fetch_item if self._split else fetch)(self._store, item, self._folder)

    def ready(self, waiting: deque[Work]) -> list[Failed]:
        """Hand on those at the left whose items have all come."""
        failed: list[Failed] = []
        while self._fetching and all(future.done() for future in self._fetching[0][1]):
            work, futures = self._fetching.popleft()
            error = next((future.exception() for future in futures if future.exception() is not None), None)
            if error is None:
                self._tallies.timed("fetch", time.monotonic() - work.leased)
                _queue([_placed(work)], waiting)
                continue
            message = error.message if isinstance(error, GristmillError) else repr(error)
            failed.append(Failed(work=work, category=Category.FETCH, message=message))
        return failed

    def done(self, work: Work) -> None:
        """Remove the copies of a mini-batch that no other needs."""
        for item in work.items:
            copy = self._copies.get(item)
            if copy is None:
                continue
            copy.wanted -= 1
            if not copy.wanted:
                del self._copies[item]
                copy.future.cancel()
                with contextlib.suppress(OSError):
                    contained(self._folder, item).unlink()

    def give_up(self) -> list[Work]:
        """Stop fetching; return what is not there yet."""
        works = [work for work, _ in self._fetching]
        self._fetching.clear()
        for work in works:
            self.done(work)
        return works

    @property
    def pending(self) -> int:
        """Return how many mini-batches are under way."""
        return len(self._fetching)

    def close(self) -> None:
        """Give up what is under way."""
        self._copier.close()


def _queue(works: Collection[Work], waiting: deque[Work]) -> None:
    """Put what is to be alone before all others, and the rest behind them."""
    waiting.extendleft([work for work in works if work.alone])
    waiting.extend([work for work in works if not work.alone])


def _split(works: Iterable[Work]) -> Iterator[Work]:
    return (work._replace(split=True) for work in works)


def _placed(work: Work) -> Work:
    """Return a mini-batch with the places of its copies, where a name of the store can be none on this machine."""
    places = tuple(map(local_name, work.items))
    return work if places == work.items and not work.split else work._replace(places=places)


def open_inputs(job: Job, scratch: Path, patience: Patience, *, tallies: Tallies | None = None) -> Inputs:
    """Return what makes a job's items ready on this machine; copies go below `scratch`."""
    root, split = input_root(job.input), job.deployment.settings.split_files
    if root is not None:
        return LocalInputs(root, split=split)
    reach, copies, wanted = Reach.of(job.allow_hosts), scratch / "inputs", job.deployment.settings.tuning.prefetch_items
    ahead = FETCH_AHEAD if wanted is None else wanted
    return FetchedInputs(job.input, copies, patience, tallies=tallies, reach=reach, split=split, ahead=ahead)
