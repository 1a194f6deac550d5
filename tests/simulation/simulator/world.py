"""One seed's world: a job, nodes, a scheduler, the ledger's server and the store, and what befalls them.

What runs in it is the shipped code: `Door`, `Coordinator`, `Planner`, `Reconciler`, `rebuild`, `Leadership`, `Node`,
`Instance`, `Heartbeat`, `Scoring`, `Leasing`, `Collector`, `Committer`, `aggregate`. Stand-ins are the scorers
(scorers.py), the broker (cluster.py), the way to the ledger (network.py) and to the store (storage.py), and of the
standard library what knows time (shims.py).
"""

from __future__ import annotations

import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

from simulator import scorers, shims
from simulator.cluster import Cluster
from simulator.faults import Faults
from simulator.fibers import Loop, Process, Violation
from simulator.invariants import Checker
from simulator.looks import Look, MemoryLook, RealLook
from simulator.network import Link, Server
from simulator.storage import SimStore

from gristmill.spec import Deployment, Input, Job, Output, RetrySettings, Settings
from gristmill_scheduler import admission as admission_module
from gristmill_scheduler import coordinator as coordinator_module
from gristmill_scheduler import door as door_module
from gristmill_scheduler import plan as plan_module
from gristmill_storage import job_folder, manifest, memory_store
from gristmill_storage.files import open_store
from gristmill_storage.ledger import Ledger
from gristmill_storage.listing import Item
from gristmill_storage.manifest import ManifestWriter
from gristmill_storage.memory_store import MemoryStore
from gristmill_workers import inputs as inputs_module
from gristmill_workers import instance as instance_module
from gristmill_workers import salvage
from gristmill_workers import scoring as scoring_module

#: Virtual seconds in which things go wrong, at most.
FAULT_SECONDS: Final = 12.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a seed ended."""

    seed: int
    profile: str
    events: int
    seconds: float
    #: Virtual seconds from the last fault to the job's end.
    after_faults: float
    faults: Counter[str]
    #: None: every promise was kept.
    violation: str | None
    trace: list[str]


class World:
    """Everything that a seed is made of."""

    def __init__(
        self, seed: int, profile: str, *, bug: Any = None, whole_trace: bool = False, server: str = ""
    ) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.loop = Loop()
        self.faults = Faults(rng=self.rng, profile=profile, until=self.rng.uniform(0.5, FAULT_SECONDS))
        self.bug = bug
        self._lines: deque[tuple[float, str, str]] = deque(maxlen=None if whole_trace else 60)
        self._draw()
        self.look: Look = RealLook(server, self.server_clock) if server else MemoryLook(self.server_clock)
        self.server = Server(self, self.look.ledger)
        self.deaths: Counter[int] = Counter()
        url = f"memory://sim-{seed}/out"
        self.output = MemoryStore(url)
        self.folder_url = job_folder.url(url, "job")
        self.folder = MemoryStore(self.folder_url)
        self.job = self._make_job(url)
        self.checker = Checker(self)
        self.cluster = Cluster(self)

    def _draw(self) -> None:
        rng = self.rng
        self.lease_seconds = rng.choice((1.0, 2.0, 4.0))
        self.storage_patience = rng.choice((0.0, 2.0, 10.0))
        self.schedulers = rng.choice((1, 1, 2))
        self.take_over = self.schedulers > 1 or rng.random() < 0.3
        self.lateness = rng.choice((1.0, 6.0))
        self.attempts = rng.randint(1, 4)
        self.isolate = rng.random() < 0.3
        self.nodes = rng.randint(1, 4)
        self.slots = rng.randint(1, 2)
        self.instances = rng.randint(1, min(4, self.nodes * self.slots))
        self.concurrency = rng.randint(1, 3)
        self.pace = rng.choice((0.05, 0.3, 1.0))
        self.slow_listing = rng.random() < 0.3
        self.first_chunk = rng.choice((2, 4, 8, 32))
        count = rng.randint(1, 60)
        size = rng.randint(1, 3)
        items = [f"item-{number:04d}" for number in range(count * size - rng.randrange(size))]
        self.items = items
        self.size = size
        self.batches = [tuple(items[start : start + size]) for start in range(0, len(items), size)]

    def _make_job(self, url: str) -> Job:
        settings = Settings(
            max_concurrency_per_instance=self.concurrency,
            mini_batch_size=self.size,
            retry_settings=RetrySettings(max_retries=self.attempts),
            **self._options(),
        )
        deployment = Deployment(name="d", compute="c", instance_count=self.instances, settings=settings)
        return Job(name="job", deployment=deployment, input=Input(uri="in"), output=Output(folder=url), submitted=1.0)

    def _options(self) -> dict[str, Any]:
        return {"speculate": self.rng.random() < 0.5, "isolate_failures": self.isolate}

    # What the shipped code finds in place of the real things

    def me(self) -> Process:
        """Return the process that runs."""
        assert self.loop.current is not None
        return self.loop.current.process

    def link(self, *_: Any, **__: Any) -> Link:
        """Make the running process' client of the ledger."""
        lease = self.lease_seconds
        return Link(self, self.me(), timeout=lease / 3, patience=4 * lease)

    def open_store(self, url: str) -> SimStore:
        """Open a store for the running process."""
        return SimStore(self, self.me(), url)

    def list_input(self, *_: Any, **__: Any) -> Iterator[Item]:
        """List the input, which may take its time."""
        for name in self.items:
            if self.slow_listing and self.rng.random() < 0.1:
                assert self.loop.current is not None
                self.loop.current.wait(self.rng.random() * 0.5)
            yield Item(name, 1)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Have the shipped code live in this world."""
        fake = shims.make_all(self.loop, lambda: f"{self.rng.getrandbits(128):032x}")
        fake[random] = random.Random(-1 - self.seed)
        fake[open_store] = self.open_store
        fake[Ledger] = self.link
        clock = next(value for key, value in fake.items() if getattr(key, "__name__", "") == "time").monotonic
        nothing = SimpleNamespace(rmtree=lambda *_, **__: None)
        names: list[tuple[Any, str, Any]] = [
            (plan_module, "list_input", self.list_input),
            (admission_module, "check_input", lambda *_, **__: None),
            (door_module, "open_queue", lambda *_: None),
            # A process that is killed never leaves it.
            (coordinator_module, "kept", lambda *_: nullcontext(lambda: None)),
            (plan_module, "ManifestWriter", partial(ManifestWriter, clock=clock)),
            (manifest, "FIRST_CHUNK", self.first_chunk),
            (scoring_module, "Pool", scorers.SimPool),
            (scoring_module, "LOSS_LIMIT", 10_000),
            *((module, "shutil", nothing) for module in (scoring_module, salvage)),
            (instance_module, "open_inputs", lambda *_, **__: inputs_module.LocalInputs("in")),
            *((instance_module, name, thing) for name, thing in scorers.stand_ins(self).items()),
        ]
        with ExitStack() as stack:
            stack.enter_context(shims.installed(fake))
            for place, name, thing in [*names, *(self.bug(self) if self.bug else ())]:
                _put(stack, place, name, thing)
            stack.enter_context(self._listening())
            yield

    @contextmanager
    def _listening(self) -> Iterator[None]:
        """Take what the shipped code logs into the trace."""
        logger = logging.getLogger("gristmill")
        before = (logger.level, logger.propagate, logger.handlers[:])
        logger.setLevel(logging.INFO)
        logger.propagate = False
        logger.handlers[:] = [_Listener(self)]
        try:
            yield
        finally:
            logger.level, logger.propagate, logger.handlers[:] = before
            logger.manager._clear_cache()  # type: ignore[attr-defined]

    # What happens

    def run(self) -> Outcome:
        """Live the seed to its end."""
        violation = None
        with self.installed():
            try:
                self._live()
            except Violation as error:
                violation = str(error)
            finally:
                self.loop.end()
                memory_store._SHARED.pop(f"sim-{self.seed}", None)
        return Outcome(
            seed=self.seed,
            profile=self.faults.profile,
            events=self.loop.events,
            seconds=self.loop.now,
            after_faults=self.loop.now - self.faults.last,
            faults=self.faults.found,
            violation=violation,
            trace=[f"{when:9.3f}  {who:<14} {what}" for when, who, what in self._lines],
        )

    def _live(self) -> None:
        self.cluster.begin()
        for when, kind in self.faults.blows():
            self.loop.at(when, partial(self.cluster.strike, kind))
        deadline = 0.0
        while not self.cluster.over():
            before = deadline
            deadline = max(self.faults.until, self.faults.last, self.cluster.last_wish) + self.bound()
            if deadline == before:
                raise Violation(f"the job has not ended {self.bound():.0f} s after the last fault")
            self.loop.run(deadline, self.cluster.over)
        self.checker.check_end()

    def bound(self) -> float:
        """Return the virtual seconds in which the job must end once nothing goes wrong any more."""
        works = [scorers.fate_of(self, number) for number in range(len(self.batches))]
        work = sum(fate.seconds * (1 + min(fate.failures, self.attempts)) for fate in works)
        retries = 0.25 * 2**self.attempts
        return 30.0 + 6 * self.lease_seconds + work + retries

    def crash(self, process: Process) -> None:
        """End a process at once; something starts another in its place."""
        if process.alive:
            self.note(process.name, "dies", {}, "")
            self.cluster.killed(process)

    def began(self, work: Any, process: Process) -> None:
        """Note that scoring began."""
        self.note(process.name, f"scores {work.number} attempt {work.attempt} under {work.token}", {}, "")

    def server_clock(self) -> float:
        """Return the server's time in seconds."""
        return shims.EPOCH + self.loop.now

    def now_ms(self) -> int:
        """Return the server's time in ms, as its transitions read it."""
        return int(self.server_clock() * 1000)

    def note(self, who: str, what: str, named: dict[str, Any], outcome: Any) -> None:
        """Add to the trace."""
        self._lines.append((self.loop.now, who, _Line(what, named, outcome)))  # type: ignore[arg-type]


class _Line:
    """A line of the trace, written when it is read."""

    def __init__(self, what: str, named: dict[str, Any], outcome: Any) -> None:
        self._what, self._named, self._outcome = what, named, outcome

    def __format__(self, _spec: str) -> str:
        told = ", ".join(f"{name}={_short(value)}" for name, value in self._named.items() if name != "info")
        return f"{self._what} {told} -> {_short(self._outcome)}" if told else f"{self._what} {_short(self._outcome)}"


def _short(value: Any) -> str:
    if isinstance(value, list) and value and hasattr(value[0], "token"):
        return "[" + ", ".join(f"{entry.first}-{entry.last}@{entry.token}" for entry in value) + "]"
    return str(value)[:160]


class _Listener(logging.Handler):
    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        who = self._world.loop.current
        self._world.note(who.name if who else "world", "says", {}, record.getMessage())
        if record.exc_info and not isinstance(record.exc_info[1], AssertionError):
            self._world.note("", "", {}, logging.Formatter().formatException(record.exc_info)[-1500:])


def _put(stack: ExitStack, place: Any, name: str, thing: Any) -> None:
    """Put a thing in another's place until the stack ends."""
    if name in vars(place):
        stack.callback(setattr, place, name, vars(place)[name])
    else:
        stack.callback(delattr, place, name)
    setattr(place, name, thing)


def run(
    seed: int,
    profile: str,
    *,
    bug: Callable[[World], Any] | None = None,
    whole_trace: bool = False,
    server: str = "",
) -> Outcome:
    """Live one seed; with the real scripts on the real server at an address, where one is given."""
    return World(seed, profile, bug=bug, whole_trace=whole_trace, server=server).run()
