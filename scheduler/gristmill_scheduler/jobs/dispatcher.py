"""Lets queued jobs begin, the most urgent first, has them share their compute, and mends what died.

More jobs are begun than a compute has places for: only those that were begun get their turns (see `shares.py`).

Of all servers of a workspace one dispatches at a time: it holds a lead in the ledger under a name that no job can have.
The jobs that it begins are led in its process; jobs that ran when their server died are taken over by any server.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from gristmill.errors import GristmillError, StorageFailed
from gristmill.log_context import ids
from gristmill_scheduler.coordinator import Coordinator
from gristmill_scheduler.jobs.beginning import Beginning
from gristmill_scheduler.jobs.board import Board
from gristmill_scheduler.jobs.record import State
from gristmill_scheduler.jobs.records import Records
from gristmill_scheduler.jobs.rows import Row
from gristmill_scheduler.jobs.sharing import Sharing, rank
from gristmill_scheduler.jobs.waiting import Nodes, serving, slots
from gristmill_scheduler.leadership import LEAST_SECONDS, Leadership, TakenOver
from gristmill_scheduler.leading import Leading
from gristmill_scheduler.takeover import TakeOver
from gristmill_storage.ledger import Ledger
from gristmill_storage.patience import may_pass

#: Seconds between two looks when nothing is told.
LOOK_SECONDS: Final = 1.0

#: Seconds between two looks at what other servers wrote, at least; and how much of the time they may take.
REFRESH_SECONDS: Final = 3.0
_REFRESH_SHARE: Final = 20

#: Jobs of one compute that are begun at once, where these want all of its places: with more, each has its turn later.
MOST: Final = 16

#: Slices after which the next one is begun all the same: those that were begun may all be long.
OVERTIME_SLICES: Final = 10

#: Jobs of one compute that are led at once, at most.
LED_MOST: Final = 256

#: Jobs that are begun side by side: admission looks at their inputs, which may be slow to answer.
_BEGINNERS: Final = 4

#: Seconds that a job is let alone which storage or ledger did not let begin.
_AGAIN_SECONDS: Final = 5.0

#: Seconds between two notes in a job's record of why it cannot be begun, at least.
_NOTE_SECONDS: Final = 30.0

#: Seconds between two words of a compute that no node serves.
_UNSERVED_SECONDS: Final = 5.0

#: Seconds for which a store is asked again that says no: rights that were given a moment ago hold everywhere by then.
REFUSED_SECONDS: Final = 60.0

#: Seconds that a job is let alone which somebody leads: the server that did may have died just now.
_SOON_SECONDS: Final = 0.3

#: Seconds that coordinators are given to let go of their jobs.
_HAND_OVER_SECONDS: Final = 5.0

log = logging.getLogger("gristmill.jobs")


def lead_name(workspace: str) -> str:
    """Return under what a workspace's dispatcher holds its lead; no job's name has a colon."""
    return f"dispatcher:{hashlib.sha256(workspace.encode()).hexdigest()[:16]}"


@dataclass(kw_only=True, slots=True)
class Trouble:
    """Why a job could not be begun."""

    #: By the clock that never jumps, as all moments here.
    since: float
    why: str = ""
    #: When the job's record was told; None: not yet.
    noted: float | None = None


class Dispatcher:
    """Looks again and again, in threads of its own."""

    def __init__(
        self,
        records: Records,
        board: Board,
        leading: Leading,
        beginning: Beginning,
        *,
        ledger: Ledger,
        name: str,
        nodes: Callable[[], Nodes],
        slice_seconds: float,
        unserved: Callable[[str], None] | None = None,
    ) -> None:
        """Take what it works with.

        Args:
            records: the jobs' records
            board: what is told of the jobs led here
            leading: what leads jobs here
            beginning: what lets them begin
            ledger: where the lead is held; one whose calls end soon
            name: what the lead is called
            nodes: tells what each node says of itself
            slice_seconds: how long an instance has its place at least, when others wait for it
            unserved: is told now and then of a compute that jobs wait for and no node serves

        """
        self._records = records
        self._board = board
        self._leading = leading
        self._beginning = beginning
        self._ledger = ledger
        self._name = name
        self._nodes = nodes
        self._sharing = Sharing(ledger, seconds=slice_seconds)
        self._overtime = OVERTIME_SLICES * slice_seconds
        #: When a job of each compute was begun last, by the clock that never jumps.
        self._begun: dict[str, float] = {}
        self._unserved = unserved
        #: When that was last said of each compute.
        self._said: dict[str, float] = {}
        self._lead: Leadership | None = None
        self._later: dict[str, float] = {}
        #: Jobs that could not be begun so far.
        self._troubles: dict[str, Trouble] = {}
        self._under_way: set[str] = set()
        #: When it last looked, in seconds since the epoch; 0: not yet.
        self.looked = 0.0
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._beginners = ThreadPoolExecutor(_BEGINNERS, thread_name_prefix="begin-job")
        self._taker = TakeOver(ledger, lead=leading.lead, led=leading.led, begin=leading.take)
        self._threads = [
            threading.Thread(target=self._run, name="dispatcher", daemon=True),
            threading.Thread(target=self._refresh, name="job-records", daemon=True),
        ]

    def start(self) -> None:
        """Begin to look."""
        self._taker.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Begin nothing any more, and leave the jobs led here to others."""
        self._stopping.set()
        self._wake.set()
        self._taker.stop()
        self._threads[0].join(LOOK_SECONDS)
        self._beginners.shutdown(wait=True, cancel_futures=True)
        if self._lead is not None:
            self._lead.stop()
        self._leading.end(Coordinator.hand_over, _HAND_OVER_SECONDS)

    def notice(self) -> None:
        """Look soon: a job came or ended."""
        self._wake.set()

    @property
    def dispatches(self) -> bool:
        """Whether this is the dispatcher, as far as is known."""
        return self._lead is not None

    def is_beginning(self, name: str) -> bool:
        """Return whether a job is just being begun, or looked at for that, here."""
        return name in self._under_way

    def trouble(self, name: str) -> str:
        """Return why a job that waits could not be begun here so far; "" where nothing is in its way."""
        found = self._troubles.get(name)
        return found.why if found else ""

    def look(self) -> None:
        """Begin what can be begun, if this is the dispatcher; wait for nothing."""
        self.looked = time.time()
        self._board.settle()
        if not self._leads():
            return
        unfinished = self._records.rows.unfinished()
        self._forget_troubles({row.name for row in unfinished})
        rows = [row for row in unfinished if row.name not in self._under_way]
        self._mend([row for row in rows if row.state is State.BEGUN])
        waiting = defaultdict(list)
        for row in rows:
            if row.state is State.QUEUED and not row.paused:
                waiting[row.compute].append(row)
        for compute, queue in waiting.items():
            self._dispatch(compute, [row for row in queue if not self._is_put_off(row.name)])
        self._share([row for row in rows if row.state is State.BEGUN])
        if self._unserved is not None:
            self._tell_unserved({row.compute for row in unfinished if not row.paused}, self._unserved)

    def _tell_unserved(self, wanted: Collection[str], tell: Callable[[str], None]) -> None:
        nodes = self._nodes()
        if not nodes:
            return  # all of them have just begun, or the ledger is away
        now = time.monotonic()
        for compute in wanted:
            if not serving(nodes, compute) and now - self._said.get(compute, float("-inf")) >= _UNSERVED_SECONDS:
                self._said[compute] = now
                tell(compute)

    def turn(self, compute: str) -> float | None:
        """Return the seconds until the next place of a compute changes hands, where this is the dispatcher."""
        return self._sharing.turn(compute)

    def _dispatch(self, compute: str, queue: Sequence[Row]) -> None:
        """Begin the first of a compute's jobs that wait, as many as may be led."""
        rows = self._records.rows.unfinished()
        led = [row for row in rows if row.compute == compute and self._counts(row)]
        now = time.time()
        for row in sorted(queue, key=lambda row: rank(row, now)):
            if not self._has_room(compute, led):
                return
            self._begun[compute] = time.monotonic()
            self._submit(row.name, self._beginning.begin)
            led.append(row)

    def _has_room(self, compute: str, led: Sequence[Row]) -> bool:
        """Return whether one job more may be begun on a compute."""
        if len(led) < MOST:
            return True
        if len(led) >= LED_MOST:
            return False
        if sum(row.instances for row in led) < slots(serving(self._nodes(), compute)):
            return True
        return time.monotonic() - self._begun.setdefault(compute, time.monotonic()) >= self._overtime

    def _counts(self, row: Row) -> bool:
        return row.state is State.BEGUN or row.name in self._under_way

    def _share(self, begun: Sequence[Row]) -> None:
        """Have the jobs of each compute that were begun keep to their shares."""
        self._sharing.keep(begun)
        by_compute = defaultdict(list)
        for row in begun:
            by_compute[row.compute].append(row)
        nodes = self._nodes() if by_compute else ()
        for compute, rows in by_compute.items():
            self._sharing.look(compute, rows, slots(serving(nodes, compute)))

    def _mend(self, begun: Sequence[Row]) -> None:
        """Go on with jobs that nobody leads and the ledger does not announce; those that it does are taken over."""
        led = self._leading.led()
        lost = [row.name for row in begun if row.name not in led and not self._is_put_off(row.name)]
        if lost:
            announced = self._ledger.announced()
            for name in lost:
                if name not in announced:
                    self._submit(name, self._beginning.mend)

    def _is_put_off(self, name: str) -> bool:
        if self._later.get(name, 0.0) > time.monotonic():
            return True
        self._later.pop(name, None)
        return False

    def _submit(self, name: str, act: Callable[[str], bool]) -> None:
        self._under_way.add(name)
        try:
            self._beginners.submit(self._act, name, act)
        except RuntimeError:  # it was shut down meanwhile
            self._under_way.discard(name)

    def _act(self, name: str, act: Callable[[str], bool]) -> None:
        try:
            if not act(name):
                self._later[name] = time.monotonic() + _SOON_SECONDS
            self._troubles.pop(name, None)
        except GristmillError as error:
            log.warning("job %s cannot be begun now: %s", name, error, extra=ids(job=name))
            trouble = self._put_off(name, error.message)
            if act == self._beginning.begin:
                self._guarded(
                    partial(self._note, name, trouble), "why a job cannot be begun cannot be written down now"
                )
                self._guarded(
                    partial(self._give_up, name, error, trouble), "a job that cannot be begun cannot be ended now"
                )
        except Exception as error:
            log.exception("job %s cannot be begun now", name, extra=ids(job=name))
            self._put_off(name, f"unexpected {type(error).__name__}; the server's log has more")
        finally:
            self._under_way.discard(name)
            self.notice()

    def _forget_troubles(self, unfinished: Collection[str]) -> None:
        for name in [name for name in self._troubles if name not in unfinished]:
            self._troubles.pop(name, None)

    def _put_off(self, name: str, why: str) -> Trouble:
        trouble = self._troubles.setdefault(name, Trouble(since=time.monotonic()))
        trouble.why = why
        self._later[name] = time.monotonic() + _AGAIN_SECONDS
        return trouble

    def _note(self, name: str, trouble: Trouble) -> None:
        """Tell the other servers, now and then: each of them reads the records."""
        now = time.monotonic()
        if trouble.noted is None or now - trouble.noted >= _NOTE_SECONDS:
            trouble.noted = now
            self._beginning.note(name, trouble.why)

    def _give_up(self, name: str, error: GristmillError, trouble: Trouble) -> None:
        """End a job that a store has refused to begin for long; a store that is away may be waited for."""
        refused = isinstance(error, StorageFailed) and not may_pass(error, writing=False)
        if refused and time.monotonic() - trouble.since >= REFUSED_SECONDS:
            self._beginning.give_up(name, error)
            self._troubles.pop(name, None)

    def _leads(self) -> bool:
        """Return whether this is the dispatcher, now."""
        if self._lead is None:
            lead = Leadership(self._name, self._ledger, seconds=LEAST_SECONDS)
            if not lead.take():
                return False
            log.info("this server dispatches jobs")
            self._lead = lead
        try:
            self._lead.check()
        except TakenOver:
            log.info("another server dispatches jobs")
            self._lead.stop()
            self._lead = None
            self._sharing.forget()
            return False
        return True

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            self._guarded(self.look, "jobs cannot be dispatched now")
            self._wake.wait(LOOK_SECONDS)

    def _refresh(self) -> None:
        pause = REFRESH_SECONDS
        while not self._stopping.wait(pause):
            began = time.monotonic()
            self._guarded(self._records.refresh, "the jobs' records cannot be looked at now")
            pause = max(REFRESH_SECONDS, _REFRESH_SHARE * (time.monotonic() - began))

    @staticmethod
    def _guarded(act: Callable[[], Any], message: str) -> None:
        try:
            act()
        except GristmillError as error:
            log.warning("%s: %s", message, error)
        except Exception:
            log.exception("%s", message)
