"""What an instance has to do with scorers that are kept: it takes those of the job before, and leaves its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gristmill.counts import counted
from gristmill_workers.assignment import Assignment
from gristmill_workers.bench import Bench
from gristmill_workers.crew import Crew
from gristmill_workers.crew_key import key_of
from gristmill_workers.home import Home
from gristmill_workers.job_logs import JobLogs
from gristmill_workers.pool import Pool
from gristmill_workers.preparation import Prepared
from gristmill_workers.scorer_process import ScorerProcess


@dataclass
class Quarters:
    """Where an instance's scorers live, and with what."""

    prepared: Prepared
    folder: Path
    #: Those who may outlive the job; None: nobody may.
    crew: Crew | None = None
    bench: Bench | None = None
    #: Whether they were left to another instance.
    left: bool = False

    @property
    def kept(self) -> dict[int, ScorerProcess]:
        """Scorers that were kept for the instance, by their places."""
        return {} if self.crew is None else self.crew.processes

    def log_dir(self, logs: JobLogs) -> Callable[[str], Path] | None:
        """Return what tells a process that may outlive the job where it finds these logs."""
        return None if self.crew is None else self.crew.log_dir(logs.user)

    def leave(self, pool: Pool, places: Iterable[Path], logs: JobLogs) -> None:
        """End the scorers of a job that went well, or let those rest that may serve another one.

        Args:
            pool: has them.
            places: the job's own folders on this machine, but for its logs.
            logs: told what becomes of them.

        """
        if self.crew is None or self.bench is None:
            pool.stop()
            return
        count = 0
        if pool.troubled:
            why = "one of them has failed in something"
            pool.stop()
        else:
            with self.bench.coming(self.crew.key):
                why = self.crew.rest(pool.release(), (logs.folder, *places))
                count = len(self.crew.processes)
                self.left = not why and self.bench.keep(self.crew)
        if why:
            logs.system.info("scorers of %s are not kept: %s", self.crew.label, why)
        elif self.left:
            logs.system.info("kept %s of %s for %g s", counted(count, "scorer"), self.crew.label, self.crew.seconds)


@contextmanager
def quarters(
    assignment: Assignment, scratch: Path, logs: JobLogs, prepare: Callable[[], Prepared]
) -> Iterator[Quarters]:
    """Have quarters for an instance's scorers while the block runs.

    Args:
        assignment: what it works for.
        scratch: a folder that goes with the instance.
        logs: told what was kept for it.
        prepare: has what scorers need on this machine.

    """
    bench, job, prepared = assignment.bench, assignment.job, prepare()
    seconds = bench.seconds_of(job)
    key = key_of(job, prepared, scratch=scratch, share=assignment.share) if seconds else ""
    with bench.place(key) as found:
        if not key:
            yield Quarters(prepared.housed(scratch), scratch)
            return
        if found is not None:
            logs.system.info("took %s of %s", counted(len(found.processes), "kept scorer"), found.label)
        label = f"{job.deployment.endpoint_name}/{job.deployment.name}"
        crew = found or Crew(Home(assignment.settings.scratch), prepared, key=key, label=label, seconds=seconds)
        taken = Quarters(crew.prepared, crew.home.path, crew, bench)
        try:
            yield taken
        finally:
            if not taken.left:
                crew.end()
