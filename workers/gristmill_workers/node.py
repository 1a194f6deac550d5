"""A node: a machine that takes instances and aggregations from its compute's queue, until it is told to leave."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from gristmill import log_lines, tracing
from gristmill.counts import counted
from gristmill.errors import GristmillError, JobNotFound, Mistake
from gristmill.local.owner import allow
from gristmill.log_context import about
from gristmill.settings import ProcessSettings
from gristmill.spec import Job
from gristmill_storage.documents import read_job
from gristmill_storage.files import Store, open_store
from gristmill_storage.ledger import Ledger
from gristmill_storage.message_spans import processing
from gristmill_storage.messages import Message, NodeTasks, queue_name
from gristmill_storage.patience import Patience
from gristmill_storage.patient_store import patience_of, patient
from gristmill_storage.queues import serve
from gristmill_workers.aggregator import aggregate
from gristmill_workers.aggregator.summary import Tally
from gristmill_workers.assignment import Assignment
from gristmill_workers.bench import Bench
from gristmill_workers.guarding import GUARD
from gristmill_workers.heartbeat import Heartbeat
from gristmill_workers.instance import Instance
from gristmill_workers.presence import ANSWER_SECONDS, Presence
from gristmill_workers.scorer_start import BLANKS
from gristmill_workers.scratch import sweep
from gristmill_workers.vitality import Vitality

#: Seconds that tasks are given to end when the owner is gone.
ORPHAN_SECONDS: Final = 2.0

#: Seconds that a place takes nothing after it refused a message, so that a node which can do it gets the next one.
REFUSED_SECONDS: Final = 5.0

log = logging.getLogger("gristmill.node")


class Node:
    """Does what the queue's messages ask for."""

    def __init__(
        self, settings: ProcessSettings, *, compute: str, slots: int, leave_when_idle: float | None = None
    ) -> None:
        """Take the process's settings, the compute that is served, and how many tasks run at once.

        `leave_when_idle`: seconds without work after which the node leaves by itself; None: never.
        """
        self._settings = settings
        self._queue = queue_name(compute)
        self._slots = slots
        self._ledger = Ledger(settings.redis_url)
        self._drain = threading.Event()
        self._bench = Bench(places=slots, seconds=settings.keep_scorers_seconds)
        self._idle = threading.Condition()
        self._running = 0
        #: The job that each slot works for.
        self._jobs: list[str | None] = [None] * slots
        self._presence = Presence(
            Ledger(settings.redis_url, timeout=ANSWER_SECONDS, patience=0),
            node=settings.node_name,
            compute=compute,
            slots=slots,
            running=lambda: list(self._jobs),
            resting=self._bench.resting,
            redis_url=settings.redis_url,
        )
        self._vitality = Vitality(
            settings.pulse_file,
            leave_after=leave_when_idle,
            leave=lambda: os.kill(os.getpid(), signal.SIGTERM),
        )
        # The queue counts slots, too, but loses count when messages were taken past a consumer that comes back.
        self._places = threading.BoundedSemaphore(slots)

    def tasks(self) -> NodeTasks:
        """Return what the queue calls."""
        return NodeTasks(
            run_instance=lambda message: self._busy_with(self._run_instance, message),
            aggregate=lambda message: self._busy_with(self._aggregate, message),
            refuse=self._refuse,
            drain=self._begin_to_leave,
            ready=self._take_work,
            free=self._is_free,
            stalled=self._begin_anew,
        )

    def leave_with_owner(self) -> None:
        """End this process when its stdin ends: whoever started it has gone, or has no more work for it.

        An idle node leaves at once, past Celery's own way of leaving, which takes a second: its queue is its owner's.
        """
        allow(ORPHAN_SECONDS + 0.5)

        def watch() -> None:
            while os.read(0, 4096):
                pass
            log.info("the owner is gone: leaving")
            self._drain.set()
            self._bench.close()
            with self._idle:
                self._idle.wait_for(lambda: not self._running, ORPHAN_SECONDS)
            self.leave()
            tracing.end()
            os._exit(0)

        threading.Thread(target=watch, name="owner", daemon=True).start()

    def leave(self) -> None:
        """Be seen by others no more, and leave no scorer behind."""
        self._bench.close()
        self._presence.leave()

    def _take_work(self) -> None:
        log.info("node %s takes work", self._settings.node_name)
        threading.Thread(target=self._sweep, name="sweep", daemon=True).start()
        self._presence.begin()
        self._vitality.ready()

    def _sweep(self) -> None:
        """Remove what nodes of this machine left that were killed."""
        if swept := sweep(self._settings.scratch):
            log.info("removed %s of instances that were killed", counted(swept, "folder"))

    def _begin_to_leave(self) -> None:
        self._drain.set()
        threading.Thread(target=self._bench.close, name="bench").start()
        self._vitality.leaves(self._running)

    def _is_free(self) -> bool:
        """Return whether one task more may run. Asked every second: a guardian that was killed is replaced, too."""
        GUARD.check()
        self._vitality.beat(self._running)
        return self._running < self._slots and not self._drain.is_set()

    def _begin_anew(self) -> None:
        """Become a fresh process of the same arguments: the consumer is beyond repair. Not while anything runs here."""
        with self._idle:
            if self._running or self._drain.is_set():
                return
            log.warning("messages wait and are not taken: the node begins anew")
            self._bench.close()
            os.execv(sys.executable, sys.orig_argv)  # noqa: S606 (an argument list, no shell)

    def _busy_with(self, task: Callable[[Message], None], message: Message) -> None:
        with self._counted(), self._places, self._shown(message.job), about(job=message.job):
            task(message)

    @contextmanager
    def _counted(self) -> Iterator[None]:
        """Count as one of the tasks that run."""
        with self._idle:
            self._running += 1
        try:
            yield
        finally:
            with self._idle:
                self._running -= 1
                self._idle.notify_all()

    def _refuse(self, reason: str, *, job: str = "") -> None:
        """Say what is refused, and take nothing in its place for a while: the scheduler sends it again, to anybody.

        Args:
            reason: why, with the node's name.
            job: the one job that it is refused for; "": all that are like it.

        """
        with self._counted():
            log.warning("refused: %s", reason)
            self._presence.refuses(reason, seconds=2 * REFUSED_SECONDS, job=job)
            self._drain.wait(REFUSED_SECONDS)

    @contextmanager
    def _shown(self, job: str) -> Iterator[None]:
        """Show that a slot works for a job; there is a free one, or this would not be called."""
        with self._idle:
            slot = self._jobs.index(None)
            self._jobs[slot] = job
        self._presence.changed()
        try:
            yield
        finally:
            self._jobs[slot] = None
            self._presence.changed()

    def _find(self, message: Message) -> tuple[Job, Store] | None:
        """Return a job and its folder, as a store that waits out what may pass.

        None where this machine cannot open it, for want of a secret or of a driver: that is told where the job waits,
        for the job itself cannot be told; another node may be able to.
        """
        try:
            folder = patient(open_store(message.folder), Patience(self._settings.storage_patience))
            return read_job(folder), folder
        except JobNotFound:
            raise  # it was deleted since: nobody waits for it
        except GristmillError as error:
            reason = f"node {self._settings.node_name} cannot open the job's folder: {error.message}"
            self._refuse(reason, job=message.job)
            return None

    def _run_instance(self, message: Message) -> None:
        found = self._find(message)
        if found is None:
            return
        job, folder = found
        assignment = Assignment(
            job=job,
            folder=folder,
            slot=message.slot,
            ledger=self._ledger,
            settings=self._settings,
            drain=self._drain,
            share=min(self._slots, job.deployment.instance_count),
            bench=self._bench,
        )
        with processing("gristmill.instance", message, self._queue) as span:
            Instance(replace(assignment, span=span)).run()

    def _aggregate(self, message: Message) -> None:
        found = self._find(message)
        if found is None:
            return
        job, folder = found
        name = f"aggregator-{uuid.uuid4().hex[:8]}"
        info = {"role": "aggregator", "node": self._settings.node_name}
        registration = self._ledger.register(job.name, instance=name, info=info)
        if registration.state != ("scored" if message.publish else "canceled" if message.partial else "stopped"):
            # The message is late: the job has ended since, or lives on after a resume.
            self._ledger.leave(job.name, instance=name)
            return
        heartbeat = Heartbeat(
            lambda news: self._ledger.renew(job.name, instance=name, info=news),
            lease_seconds=registration.lease_seconds,
        )
        heartbeat.start(info)
        patience_of(folder).tell = lambda text: heartbeat.say(waiting=text)

        def merging(tally: Tally) -> None:
            heartbeat.passing = lambda: {"merged": tally.mini_batches}

        try:
            with processing("gristmill.aggregate", message, self._queue) as span:
                span.put({"gristmill.publish": message.publish, "gristmill.partial": message.partial})
                aggregate(job, folder, self._ledger, publish=message.publish, partial=message.partial, merging=merging)
        finally:
            heartbeat.stop()
            self._ledger.leave(job.name, instance=name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a node until it is told to leave."""
    parser = argparse.ArgumentParser(prog="gristmill_workers", description="Take work from a compute's queue.")
    parser.add_argument("--compute", required=True, help="the compute whose queue is served")
    parser.add_argument("--slots", type=int, default=1, help="instances at once (default: 1)")
    parser.add_argument("--owned", action="store_true", help="leave when stdin ends")
    parser.add_argument("--blanks", type=int, default=0, help="scorers that are started before a job is known")
    parser.add_argument("--leave-when-idle", type=float, metavar="SECONDS", help="leave after so long without work")
    options = parser.parse_args(arguments)
    try:
        settings = ProcessSettings.read()
        log_lines.begin("node", settings)
        if settings.log_format == "json":
            log_lines.close_stdout()  # Celery says there how it ends
        tracing.begin("node", settings)
        if not settings.redis_url:
            raise Mistake("GRISTMILL_REDIS_URL is not set; give the address of the Redis server of the cluster")
        if options.slots < 1:
            raise Mistake(f"--slots {options.slots}: give 1 or more")
        node = Node(settings, compute=options.compute, slots=options.slots, leave_when_idle=options.leave_when_idle)
        if options.owned:
            node.leave_with_owner()
        BLANKS.begin(options.blanks, settings.environment)
        try:
            serve(
                settings.redis_url,
                compute=options.compute,
                slots=options.slots,
                name=settings.node_name,
                tasks=node.tasks(),
                owned=options.owned,
            )
        finally:
            node.leave()
            tracing.end()
    except GristmillError as error:
        log_lines.say(error)
        return error.exit_code
    return 0
