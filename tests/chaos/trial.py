"""One job under faults, from its submission to the verdict."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from chaos.evidence import dump
from chaos.faults import Scene, Strike
from chaos.nemesis import Nemesis, Struck
from chaos.verdict import Verdict, judge
from chaos.watch import Watch
from chaos.workload import Workload
from chaos.world import BUCKET, World, wait_until
from gristmill_storage import job_folder

#: Seconds after the submission in which a mini-batch must be done, before anything strikes.
_BEGIN_SECONDS: Final = 60.0

_GLANCE: Final = 0.25

#: Seconds after which a job that Redis knows nothing of, with its scheduler killed at the same time, is led again by
#: hand: nobody is left who could know of it.
_FORGOTTEN_SECONDS: Final = 15.0


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a job is run."""

    name: str
    #: Whether its output, and with it its folder, is on S3.
    on_storage: bool
    #: Seconds after which a job that has not ended hangs.
    limit: float
    #: Seconds to wait, and what then strikes, again and again; none for an undisturbed job.
    strikes: Iterable[tuple[float, Strike]] = ()
    #: What chose them, to be printed.
    seed: str = ""
    #: Whether the aggregator is killed once.
    aggregator_dies: bool = False


@dataclass(kw_only=True)
class Trial:
    """What came of one job."""

    course: Course
    seconds: float = 0.0
    struck: list[Struck] = field(default_factory=list)
    #: Seconds of the times in which nothing moved although something could, each with what had struck last before it.
    gaps: list[tuple[float, str]] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)
    #: run() calls that ended; what exceeds the mini-batches was done again.
    runs: int = 0
    fenced: int = 0
    #: Seconds of the longest time in which a node that was there did nothing while others worked, or nobody did.
    idle: float = 0.0
    #: How often it had to be led again by hand.
    rescues: int = 0

    @property
    def standstill(self) -> float:
        """Seconds of the longest time in which nothing moved."""
        return max((seconds for seconds, _ in self.gaps), default=0.0)


def run_trial(world: World, workload: Workload, course: Course) -> Trial:
    """Run one job; what is wrong with it is in the verdict, and its traces are dumped then."""
    trial = Trial(course=course)
    output = f"s3://{BUCKET}/{course.name}" if course.on_storage else str(world.output / course.name)
    folder = job_folder.url(output, course.name)
    complaints: list[str] = []
    result: dict[str, Any] | None = None
    job = workload.job(course.name, output)
    watch = Watch(world, workload, course.name)
    try:
        world.submit(job)
        scene = Scene(world=world, watch=watch, on_storage=course.on_storage, complain=complaints.append)
        nemesis = _nemesis(scene, course)
        try:
            result = _follow(world, watch, trial, folder)
        finally:
            if nemesis is not None:
                nemesis.close()
                trial.struck = nemesis.struck
    except AssertionError as error:
        complaints.append(str(error))
    finally:
        trial.seconds = time.monotonic() - watch.began
        trial.fenced = watch.fenced()
        watch.close()
    trial.runs = sum(workload.runs(course.name).values())
    trial.idle = watch.longest_idle
    trial.gaps = [(gap.seconds, _cause(trial.struck, gap.start)) for gap in watch.gaps]
    trial.verdict = judge(world, result, output, folder, workload.expected)
    trial.verdict.faults.extend(complaints)
    if not trial.verdict.good:
        dump(world, course.name, folder, trial.verdict.faults)
        world.tell_scheduler({"command": "cancel", "job": course.name})
    return trial


def _nemesis(scene: Scene, course: Course) -> Nemesis | None:
    """Let faults strike as soon as something is done; a job without faults has none."""
    if not (course.strikes or course.aggregator_dies):
        return None
    wait_until(lambda: scene.watch.most_done > 0, _BEGIN_SECONDS, f"the first mini-batch of {course.name}")
    return Nemesis(scene, iter(course.strikes), at_aggregation=course.aggregator_dies)


def _follow(world: World, watch: Watch, trial: Trial, folder: str) -> dict[str, Any] | None:
    """Return the job's result when it is there; None when it never comes."""
    known = time.monotonic()
    while time.monotonic() < watch.began + trial.course.limit:
        data = world.read(f"{folder}/{job_folder.RESULT}")
        if data is not None:
            document: dict[str, Any] = json.loads(data)
            return document
        if watch.sight.state != "":
            known = time.monotonic()
        elif time.monotonic() - known > _FORGOTTEN_SECONDS and world.tell_scheduler(_take(folder)):
            trial.rescues += 1
            known = time.monotonic()
        time.sleep(_GLANCE)
    return None


def _take(folder: str) -> dict[str, str]:
    """Return the command by which a user has a job led again that Redis and every scheduler forgot at once."""
    return {"command": "take", "folder": folder}


def _cause(struck: list[Struck], moment: float) -> str:
    """Return what had struck last when nothing moved any more."""
    before = [one for one in struck if one.began <= moment + 0.5]
    return max(before, key=lambda one: one.began).strike.kind if before else ""
