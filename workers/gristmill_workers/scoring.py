"""The loop of an instance: lease, hand out, take in, commit.

One thread owns it. It never waits for a scorer, a disk or a network alone: scorers answer through pipes that are
polled, parts are sealed by the committer's thread, inputs are fetched by others, and leases are kept alive by the
heartbeat's.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from pathlib import Path
from typing import Final

from gristmill.counts import counted
from gristmill.errors import GristmillError, InitFailed
from gristmill.log_context import ids
from gristmill.states import Category
from gristmill_storage.ledger import Commit, Entry
from gristmill_storage.parts import Block
from gristmill_storage.tallies import Tallies
from gristmill_workers.assignment import Assignment
from gristmill_workers.collector import Collector, Committer, remove
from gristmill_workers.departure import Departure
from gristmill_workers.heartbeat import Heartbeat
from gristmill_workers.inputs import Inputs
from gristmill_workers.job_logs import JobLogs
from gristmill_workers.lease_spans import committing, lease_spans
from gristmill_workers.leasing import Leased, Leasing
from gristmill_workers.pool import Pool
from gristmill_workers.preparation import Launcher
from gristmill_workers.salvage import Salvage
from gristmill_workers.tuning import Choices
from gristmill_workers.verdict import Halve, Outcome, Retry, judge, lost
from gristmill_workers.watchdog import SLOWEST_BYTES, Watchdog
from gristmill_workers.work import Event, Failed, InitFailure, Ready, Scored, ScoredTogether, Work

#: Times that a mini-batch may be lost with its instance before it is taken for the cause.
LOSS_LIMIT: Final = 5

#: Scorers in a row that may die between two mini-batches before the job is ended.
IDLE_DEATH_LIMIT: Final = 10

#: Times in a row that init() may fail where it has worked before.
INIT_LIMIT: Final = 3

#: Seconds to wait for something to happen: when all goes its way, and when only the last commit is waited for.
POLL_SECONDS: Final = 0.1
LAST_POLL_SECONDS: Final = 0.005


class Scoring:
    """What an instance does with its leases until there are no more."""

    def __init__(
        self,
        assignment: Assignment,
        *,
        instance: str,
        epoch: str,
        registered: float,
        launcher: Launcher,
        inputs: Inputs,
        heartbeat: Heartbeat,
        watchdog: Watchdog,
        logs: JobLogs,
        tallies: Tallies | None = None,
    ) -> None:
        """Take the assignment, who works under which epoch of the ledger, and what it works with.

        `registered` is when it joined, by the clock that never jumps; `tallies` count what takes how long.
        """
        settings = assignment.job.deployment.settings
        self._assignment = assignment
        self._job = assignment.job.name
        self._ledger = assignment.ledger
        self._instance = instance
        self._registered = registered
        self._inputs = inputs
        self._heartbeat = heartbeat
        self._watchdog = watchdog
        self._logs, self._log = logs, logs.system
        self._tallies = tallies or Tallies()
        self._attempts, self._isolate = settings.retry_settings.attempts, settings.isolate_failures
        self._launcher = launcher
        self._salvage = Salvage(launcher.staging)
        self._attempts_log = logs.attempts(instance)
        self._pool = Pool(
            launcher,
            settings.max_concurrency_per_instance,
            run_seconds=settings.retry_settings.timeout,
            init_seconds=settings.init_seconds,
            frames=settings.tuning.frames_in_flight,
            attempts=self._attempts_log,
            tallies=self._tallies,
        )
        heartbeat.passing = lambda: {"busy": self._pool.busy}
        self.processes = self._pool.processes
        self._spans = lease_spans(self._job, instance)
        self._choices = Choices(self._log.info)
        self._leasing = Leasing(
            assignment.ledger,
            job=self._job,
            instance=instance,
            folder=assignment.folder,
            deployment=assignment.job.deployment,
            ahead=inputs.ahead,
            spans=self._spans,
        )
        self._collector = Collector(assignment.folder, settings, epoch=epoch, instance=instance)
        self._committer = Committer(self._commit, tallies=self._tallies, around=committing(self._spans))
        self._waiting: deque[Work] = deque()
        #: Mini-batches of which this instance has, or had, a second attempt; those of which it has kept an outcome.
        self._twofold: set[int] = set()
        self._settled: set[int] = set()
        self._init_failures = 0
        self._ready_after: float | None = None
        self._departure = Departure(assignment.drain, heartbeat, grace_seconds=assignment.settings.grace_seconds)

    def run(self) -> None:
        """Score until nothing is left; what was scored is committed whatever ends it."""
        self._pool.start()
        finished = False
        try:
            while not self._over():
                self.step()
            finished = True
        finally:
            # A job of which others had the last mini-batches may be closed before it is heard here that it is scored.
            spared = self._state == "closed" or (self._departure.begun and not self._departure.hurried)
            self._end(gently=finished and (self._state == "scored" or (spared and not self._pool.held)))

    @property
    def _state(self) -> str:
        """The job's state: what is heard first counts."""
        return self._leasing.state if self._leasing.state != "open" else self._heartbeat.state

    def _over(self) -> bool:
        return self._state != "open" or (self._departure.begun and (self._finished or self._departure.late))

    @property
    def _finished(self) -> bool:
        """Whether nothing is scored that is waited for when it leaves: pieces of what was given back are not."""
        return not any(work.piece is None for work in self._pool.works)

    @property
    def _idle(self) -> bool:
        return not (self._waiting or self._pool.held or self._inputs.pending)

    def step(self) -> None:
        """Do what can be done now: lease, hand out, take in, commit."""
        self._watchdog.turn()
        self._check()
        self._lease()
        self._give_back_surplus()
        for failed in self._inputs.ready(self._waiting):
            self._attempts_log.failed(failed)
            self._judge(failed)
        self._pool.dispatch(self._waiting)
        events = self._pool.poll(self._patience(), fetching=self._inputs.pending > 0, committing=self._committer.busy)
        for event in events:
            self._react(event)
        if events:
            self._heartbeat.say(scorers=self._pool.ready)
        self._take_back()
        if self._departure.begun:
            self._give_back()
        waits = self._idle and (self._leasing.pause > 0 or self._departure.begun)
        if self._collector.due or (waits and not self._collector.empty):
            self._flush()

    def _patience(self) -> float:
        """Return how long to wait for scorers: hardly, when others are waited for, the disk say, who wake nobody."""
        if self._state != "open":
            return 0.0
        if not self._idle:
            return LAST_POLL_SECONDS if self._inputs.pending and self._pool.free else POLL_SECONDS
        return LAST_POLL_SECONDS if self._committer.busy else min(POLL_SECONDS, self._leasing.pause or POLL_SECONDS)

    def _take_back(self) -> None:
        """Queue again what a dead scorer had not begun, or not answered, without what it may have left."""
        for work in self._pool.returned:
            shutil.rmtree(self._files_of(work), ignore_errors=True)
        self._waiting.extendleft(reversed(self._pool.returned))
        self._pool.returned.clear()

    def _check(self) -> None:
        """Raise what went wrong in another thread; see whether the instance is to leave."""
        self._heartbeat.check()
        self._committer.check()
        if self._pool.idle_deaths >= IDLE_DEATH_LIMIT:
            raise InitFailed(
                f"scorers die between mini-batches: {self._pool.idle_deaths} in a row; see logs/user/stderr"
            )
        if reason := self._departure.news():
            self._log.info("%s", reason)
            self._give_back()

    def _lease(self) -> None:
        """Lease more mini-batches when too few are held for the scorers to stay busy."""
        if self._departure.begun or not self._pool.ready:
            return
        coming = len(self._waiting) + self._inputs.pending
        idle = not coming and self._pool.free > 0
        empty = self._idle and self._collector.empty and not self._committer.busy
        leased = self._leasing.more(coming + self._pool.held, self._pool.pace, idle=idle, empty=empty)
        if leased is not None:
            self._take(leased)
            self._choices.made(self._leasing.choice(self._pool.pace), self._pool.choice())
            if self._pool.pace is None:  # how large mini-batches are is known now, and so how many are to be fetched
                self._lease()

    def _take(self, leased: Leased) -> None:
        self._twofold.update(work.number for work in leased.works if work.copy is not None)
        if self._settled:  # what is leased anew counts for nothing that was kept of it
            self._settled.difference_update(work.number for work in leased.works if work.copy is None)
        if leased.losses < LOSS_LIMIT:
            self._inputs.want(leased.works)
            return
        for work in leased.works:
            message = f"the instance that scored it was lost {leased.losses} times"
            self._attempts_log.failed(Failed(work=work, category=Category.LOST, message=message))
            self._keep(work, lost(work, Category.LOST, message))

    def _react(self, event: Event) -> None:
        if isinstance(event, Ready):
            self._init_failures = 0
            self._ready_after = self._ready_after or time.monotonic() - self._registered
            self._tallies.timed("init", float(event.report.get("init_seconds") or 0))
            self._heartbeat.say(
                doing="",
                ready_after=self._ready_after,
                init_seconds=event.report.get("init_seconds"),
                versions=event.report.get("versions", {}),
            )
        elif isinstance(event, ScoredTogether):
            self._keep_together(event)
        elif isinstance(event, InitFailure):
            self._react_to_init(event)
        else:
            self._judge(event)

    def _react_to_init(self, failure: InitFailure) -> None:
        """End the job where init() never worked here; try again, not for ever, where it did."""
        self._logs.script_error(-1, 1, "init", failure.message, failure.traceback)
        self._init_failures += 1
        if not failure.once_worked or self._init_failures >= INIT_LIMIT:
            raise InitFailed(f"init() failed: {failure.message}", detail=failure.traceback)
        self._log.warning("init() of a fresh scorer failed and is tried again: %s", failure.message)
        self._pool.start()

    def _judge(self, event: Scored | Failed) -> None:
        work = event.work
        if work.piece is not None:
            self._judge_piece(event)
            return
        verdict = judge(event, attempts=self._attempts, isolate=self._isolate)
        if isinstance(verdict, Outcome):
            self._inputs.done(work)
            self._note_outcome(work, verdict)
            self._keep(work, verdict, event)
            return
        self._note(work, verdict.category, verdict.message, verdict.traceback)
        self._drop(event)
        if isinstance(verdict, Halve) and not self._departure.begun:
            self._inputs.want(self._salvage.begin(work, verdict))  # what it has fetched stays until all is decided
            return
        self._inputs.done(work)
        if isinstance(verdict, Retry):
            self._retry(work, verdict)
        else:
            self._leasing.give_back([work])

    def _judge_piece(self, event: Scored | Failed) -> None:
        """Take the answer to a piece of a mini-batch; keep the mini-batch when it was the last."""
        self._inputs.done(event.work)
        step = self._salvage.take(event)
        if step is None:
            return
        if isinstance(step.verdict, Outcome):
            self._note_outcome(event.work, step.verdict)
        self._inputs.want(step.pieces)
        if step.result is not None:
            self._inputs.done(step.work)
            block, result = step.result.block, step.result
            how = f"apart in {counted(block.runs, 'run')}, {block.failed} of {counted(block.items, 'item')} failed"
            self._log.info("mini-batch %d: scored %s", block.mini_batch, how, extra=ids(mini_batch=block.mini_batch))
            self._add(step.work, block, result.data, result.spool, result.files)

    def _note_outcome(self, work: Work, outcome: Outcome) -> None:
        for error in outcome.block.errors[:1]:
            self._note(work, error["category"], error["message"], error["traceback"])

    def _note(self, work: Work, category: str, message: str, traceback: str) -> None:
        self._logs.script_error(work.number, work.attempt, category, message, traceback)
        which = ids(mini_batch=work.number, attempt=work.attempt)
        self._log.warning("mini-batch %d, attempt %d: %s: %s", *which.values(), category, message, extra=which)
        if self._spans is not None:
            self._spans.went_wrong(work, category, message)

    def _retry(self, work: Work, verdict: Retry) -> None:
        if not self._leasing.fail(work, verdict):
            which = ids(mini_batch=work.number, attempt=work.attempt)
            self._log.info("mini-batch %d is no longer held under %s", work.number, work.token, extra=which)

    def _keep(self, work: Work, outcome: Outcome, event: Scored | Failed | None = None) -> None:
        """Put an outcome into the part that is being written."""
        spool, data, files = None, b"", None
        if isinstance(event, Scored) and event.result["outcome"] == "done":
            data = event.data
            spool = Path(event.result["spool"]) if event.result.get("spool") else None
            files = self._files_of(work) if event.result["files"] else None
        self._add(work, outcome.block, data, spool, files)

    def _add(self, work: Work, block: Block, data: bytes, spool: Path | None, files: Path | None) -> None:
        """Put a mini-batch into the part, unless this instance's other attempt at it came first."""
        if self._spans is not None:
            self._spans.scored(work, block)
        twofold = work.number in self._twofold
        if work.number in self._settled or (twofold and self._collector.holds(work.number)):
            remove(spool, files)
            return
        if twofold:
            self._settled.add(work.number)
        if block.size > SLOWEST_BYTES:
            self._watchdog.turn(block.size)
        self._collector.add(work.token, block, data, spool, files)

    def _keep_together(self, event: ScoredTogether) -> None:
        """Put outcomes into the part of which nothing is to be judged; their items lie where they lay before."""
        self._watchdog.turn(len(event.data))
        self._collector.add_all([work.token for work in event.works], event.blocks, event.data)

    def _drop(self, event: Scored | Failed) -> None:
        """Remove what an attempt left that does not count."""
        if isinstance(event, Scored) and event.result.get("spool"):
            Path(event.result["spool"]).unlink(missing_ok=True)
        shutil.rmtree(self._files_of(event.work), ignore_errors=True)

    def _files_of(self, work: Work) -> Path:
        """Return where the files lie that a script wrote in an attempt."""
        return self._launcher.staging / work.label

    def _flush(self) -> None:
        draft = self._collector.take()
        if draft is not None:
            self._leasing.told(draft.entries)
            self._watchdog.handed(sum(entry.size for entry in draft.entries))
            self._committer.put(draft)

    def _commit(self, part: str, entries: list[Entry]) -> Commit:
        """Tell the ledger of a durable part; runs in the committer's thread."""
        self._attempts_log.write()
        node, tallies = self._assignment.settings.node_name, self._tallies.take()
        answer = self._ledger.commit(
            self._job, instance=self._instance, part=part, entries=entries, node=node, tallies=tallies
        )
        self._leasing.soon()
        self._watchdog.committed()
        return answer

    def _give_back(self) -> None:
        """Return what was leased and not handed to a scorer, and what is being isolated."""
        waiting = [work for work in (*self._waiting, *self._inputs.give_up()) if work.piece is None]
        self._waiting.clear()
        if works := [*waiting, *self._salvage.give_up()]:
            self._log.info("given back: %s", counted(len(works), "mini-batch"))
            self._leasing.give_back(works)

    def _give_back_surplus(self) -> None:
        """Return what is leased and should not wait here: mini-batches have become slower than they seemed to be."""
        coming = len(self._waiting) + self._inputs.pending + self._pool.held
        surplus = min(len(self._waiting), self._leasing.surplus(coming, self._pool.pace))
        works = [self._waiting.pop() for _ in range(surplus)]
        self._waiting.extend(reversed([work for work in works if work.alone]))
        if works := [work for work in works if not work.alone]:
            self._log.info("given back: %s, others have them sooner", counted(len(works), "mini-batch"))
            for work in works:
                self._inputs.done(work)
            self._leasing.give_back(works)

    def _end(self, *, gently: bool) -> None:
        """End the scorers, keep what they finished, whatever happened."""
        self._flush_quietly()
        if gently:
            self._launcher.leave(self._pool)
        else:
            self._pool.kill()
        self._attempts_log.write()
        self._inputs.close()
        self._leasing.close()
        self._committer.close()

    def _flush_quietly(self) -> None:
        try:
            self._flush()
        except GristmillError as error:
            self._log.warning("what was scored last could not be kept: %s", error)
            self._collector.discard()
