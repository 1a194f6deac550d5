"""Nodes, the scheduler, the broker between them and the user: who starts, who dies, who comes back."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from simulator.fibers import Process, Violation
from simulator.shims import Event

from gristmill.errors import LedgerFailed, LedgerLost, StorageFailed
from gristmill.settings import ProcessSettings
from gristmill.spec import to_json
from gristmill.states import JobStatus
from gristmill_scheduler.door import Door
from gristmill_storage import job_folder
from gristmill_storage.queue import AGGREGATE, RUN_INSTANCE, Message
from gristmill_workers.node import Node

if TYPE_CHECKING:
    from simulator.world import World


#: Times that the user goes on with a job that ended badly.
PATIENCE = 40

#: Virtual seconds after which the user goes on with a job of which nothing is heard, because nobody leads it.
SILENCE = 20.0


def settings_of(world: World, name: str) -> ProcessSettings:
    """Return the settings of a process."""
    settings = ProcessSettings.read({"GRISTMILL_REDIS_URL": "redis://sim", "GRISTMILL_NODE_NAME": name})
    return replace(settings, lease_seconds=world.lease_seconds, storage_patience=world.storage_patience)


class Broker:
    """The messages that wait on the server; lost with its memory."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.waiting: deque[tuple[str, Message]] = deque()

    def put(self, kind: str, message: Message) -> None:
        faults, loop = self._world.faults, self._world.loop
        if faults.strikes("message_lost", loop.now):
            return
        if faults.strikes("message_late", loop.now):
            loop.at(self._world.rng.random() * 5, lambda: self.waiting.append((kind, message)))
            return
        self.waiting.append((kind, message))
        if faults.strikes("message_twice", loop.now):
            self.waiting.append((kind, message))


class SimQueue:
    """The sending side, as `gristmill_storage.queue.Queue`."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self._process = process

    def send_instance(self, compute: str, message: Message) -> None:
        self._reach()
        self._world.cluster.broker.put("instance", message)

    def send_aggregate(self, compute: str, message: Message) -> None:
        self._reach()
        self._world.cluster.broker.put("aggregate", message)

    def waiting(self, compute: str, job: str) -> list[tuple[str, Message]]:
        self._reach()
        names = {"instance": RUN_INSTANCE, "aggregate": AGGREGATE}
        return [(names[kind], message) for kind, message in self._world.cluster.broker.waiting if message.job == job]

    def remove(self, compute: str) -> None:
        self._reach()

    def _reach(self) -> None:
        """Wait for a server that is away, as a client of a broker does, though not for ever."""
        loop, server = self._world.loop, self._world.server
        assert loop.current is not None
        deadline = loop.now + 4 * self._world.lease_seconds
        loop.current.check()
        while loop.now < max(server.away_until, server.frozen_until, self._process.cut_until["ledger"]):
            if loop.now > deadline:
                raise LedgerFailed("the queue of compute c cannot be reached: simulated")
            loop.current.wait(0.1)


class Machine:
    """A node: takes messages as long as it has a free slot."""

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._busy = 0
        self.leaving = False
        self.process = Process(world.loop, name, skew=world.rng.uniform(-5, 5))
        self.node: Any = None
        self.process.spawn("main", self._serve)

    def _serve(self) -> None:
        world, process = self._world, self.process
        self.node = Node(settings_of(world, process.name), compute="c", slots=world.slots)
        tasks = self.node.tasks()
        loop = world.loop
        while not self.leaving or self._busy:
            reachable = loop.now >= max(world.server.away_until, world.server.frozen_until, process.cut_until["ledger"])
            if not self.leaving and self._busy < world.slots and reachable and world.cluster.broker.waiting:
                kind, message = world.cluster.broker.waiting.popleft()
                world.note(process.name, f"takes {kind} {message.slot}", {}, "")
                self._busy += 1
                task = tasks.run_instance if kind == "instance" else tasks.aggregate
                process.spawn(f"{kind}-{message.slot}", partial(self._do, task, message))
            assert loop.current is not None
            loop.current.wait(0.02 + world.rng.random() * 0.05)
        world.cluster.killed(process)

    def _do(self, task: Any, message: Message) -> None:
        try:
            task(message)
        except Exception as error:  # noqa: BLE001 - as the queue's own task does: it is logged
            self._world.note(self.process.name, "a task ended by", {}, repr(error))
        finally:
            self._busy -= 1

    def drain(self) -> None:
        """Tell the node to leave."""
        if not self.leaving and self.node is not None:
            self.leaving = True
            self.process.spawn("drain", self.node.tasks().drain)


class Scheduler:
    """A scheduler's process: the shipped door, with its commands and its events."""

    def __init__(self, world: World, name: str, *, take_over: bool) -> None:
        self._world = world
        self.name = name
        self.process = Process(world.loop, name, skew=world.rng.uniform(-5, 5))
        self._take_over = take_over
        self._commands: deque[dict[str, Any]] = deque()
        self._awake = Event(world.loop)
        self.process.spawn("door", self._serve)

    def send(self, command: dict[str, Any]) -> None:
        """Give it a command."""
        self._commands.append(command)
        self._awake.set()

    def _serve(self) -> None:
        door = Door(settings_of(self._world, self.name), self, take_over=self._take_over)  # type: ignore[arg-type]
        door.leading.queue = SimQueue(self._world, self.process)  # type: ignore[assignment]
        door.serve(self._lines())  # type: ignore[arg-type]

    def _lines(self) -> Iterator[str]:
        while True:
            while self._commands:
                command = self._commands.popleft()
                self._world.note("user", f"{command['command']} to {self.name}", {}, "")
                yield json.dumps(command)
            self._awake.clear()
            self._awake.wait()

    def write(self, line: str) -> None:
        """Take an event, as a stream that is written to."""
        self._world.cluster.heard_at = self._world.loop.now
        if '"event": "progress"' not in line[:30]:
            self._world.cluster.heard(self, json.loads(line))

    def flush(self) -> None:
        """Do nothing."""


class Cluster:
    """All processes, and the user who watches over them."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._serial = 0
        self._ended = False
        self._begun = False
        self._resumed = 0
        self.heard_at = 0.0
        self._canceled = False
        self.last_wish = 0.0
        self.broker = Broker(world)
        self.machines: list[Machine] = []
        self.schedulers: list[Scheduler] = []

    def over(self) -> bool:
        """Return whether the job has ended well."""
        return self._ended

    def begin(self) -> None:
        """Start everything, and submit the job."""
        world = self._world
        for _ in range(world.nodes):
            self._start_node()
        for _ in range(world.schedulers):
            self._start_scheduler()
        self._submit()
        world.loop.at(1.0, self._watch)

    def _submit(self) -> None:
        if self.schedulers:
            self.schedulers[0].send({"command": "submit", "job": to_json(self._world.job)})

    def _watch(self) -> None:
        """Look, as the user does, whether anything is heard of the job; if not, go on with it."""
        loop = self._world.loop
        if loop.now - self.heard_at > SILENCE and self.schedulers:
            self._again()
        loop.at(1.0, self._watch)

    def _again(self) -> None:
        """Go on with the job."""
        self.last_wish = self.heard_at = self._world.loop.now
        if not self.schedulers:
            return
        scheduler = self._world.rng.choice(self.schedulers)
        if self._begun:
            scheduler.send({"command": "resume", "folder": self._world.folder_url})
        else:
            scheduler.send({"command": "submit", "job": to_json(self._world.job)})

    def _start_node(self) -> None:
        self._serial += 1
        self.machines.append(Machine(self._world, f"node{self._serial}"))

    def _start_scheduler(self) -> Scheduler:
        self._serial += 1
        scheduler = Scheduler(self._world, f"scheduler{self._serial}", take_over=self._world.take_over)
        self.schedulers.append(scheduler)
        return scheduler

    def heard(self, scheduler: Scheduler, event: dict[str, Any]) -> None:
        """Hear what a scheduler tells."""
        world, kind = self._world, event["event"]
        told = f"{kind} {event.get('status', '')} {event.get('detail', '') or event.get('error', '')}"
        world.note(scheduler.name, told, {}, "")
        if kind == "ready":
            return
        if kind == "submitted":
            self._begun = True
        elif kind == "finished" and event["status"] == JobStatus.COMPLETED:
            self._ended = True
        elif kind == "finished":
            self._check_end(event)
            self._go_on()
        elif kind == "refused":
            self._refused(event["error"])

    def _refused(self, error: dict[str, Any]) -> None:
        if "is complete" in error["message"]:
            self._ended = True
            return
        if not any(words in error["message"] for words in ("another scheduler leads it", "leads it already")):
            self._allow(error.get("class"), str(error))
            self._go_on()

    def _go_on(self) -> None:
        """Go on with a job that ended badly, after a while."""
        self._resumed += 1
        if self._resumed >= PATIENCE:
            self._blame(f"the job ended badly {PATIENCE} times")
        self._world.loop.at(self._world.rng.uniform(0.1, 3), self._again)

    def _check_end(self, event: dict[str, Any]) -> None:
        """A job may end badly while things go wrong, by cancelling or for want of the store or of the ledger.

        A cancelled job's end is told once more where the scheduler dies that was to go on with it.
        """
        if event["status"] == JobStatus.CANCELED and self._canceled:
            return
        error = event["error"] or {}
        self._allow(error.get("class"), f"{event['status']}: {error}")

    def _allow(self, kind: str | None, what: str) -> None:
        outages = (LedgerFailed.__name__, StorageFailed.__name__)
        reached = kind == LedgerFailed.__name__ and "cannot be" not in what
        if kind not in outages or reached or not self._world.faults.found:
            self._blame(f"the job ended {what}")

    def _blame(self, what: str) -> None:
        loop = self._world.loop
        loop.fault = loop.fault or Violation(what)

    def killed(self, process: Process) -> None:
        """Something has died: it is started again after a while."""
        world = self._world
        process.kill()
        if any(scheduler.process is process for scheduler in self.schedulers):
            self.schedulers = [scheduler for scheduler in self.schedulers if scheduler.process is not process]
            world.loop.at(world.rng.uniform(0.1, 2), self._restart_scheduler)
            return
        self.machines = [machine for machine in self.machines if machine.process is not process]
        world.loop.at(world.rng.uniform(0.1, 3), self._start_node)

    def _restart_scheduler(self) -> None:
        """Start a scheduler; where it is one that was alone, its supervisor has it take the job again."""
        world = self._world
        scheduler = self._start_scheduler()
        self.last_wish = world.loop.now
        if self._begun and not world.take_over:
            scheduler.send({"command": "take", "folder": world.folder_url})

    # The larger misfortunes

    def strike(self, kind: str) -> None:
        """Let something go wrong now."""
        world = self._world
        if self._ended:
            return
        world.note("world", kind, {}, "")
        world.faults.note(kind, world.loop.now)
        getattr(self, f"_{kind}")()

    def _any(self) -> Process | None:
        choices = [thing.process for thing in (*self.machines, *self.schedulers)]
        return self._world.rng.choice(choices) if choices else None

    def _lasting(self, leases: float) -> float:
        """Draw how long a misfortune lasts, and note when it is over."""
        world = self._world
        seconds = world.rng.random() * leases * world.lease_seconds
        world.faults.last = max(world.faults.last, world.loop.now + seconds)
        return world.loop.now + seconds

    def _kill_node(self) -> None:
        if self.machines:
            self._world.crash(self._world.rng.choice(self.machines).process)

    def _kill_scheduler(self) -> None:
        if self.schedulers:
            self._world.crash(self._world.rng.choice(self.schedulers).process)

    def _drain_node(self) -> None:
        if self.machines:
            self._world.rng.choice(self.machines).drain()

    def _freeze_node(self) -> None:
        if self.machines:
            self._world.rng.choice(self.machines).process.frozen_until = self._lasting(3)

    def _freeze_server(self) -> None:
        self._world.server.frozen_until = self._lasting(2)

    def _away(self) -> None:
        self._world.server.away_until = self._lasting(2)

    _restart = _away

    def _flush(self) -> None:
        self._world.look.flush()
        self.broker.waiting.clear()

    def _cut(self, *what: str) -> None:
        process = self._any()
        if process is not None:
            until = self._lasting(3)
            for name in what:
                process.cut_until[name] = until

    def _cut_ledger(self) -> None:
        self._cut("ledger")

    def _cut_store(self) -> None:
        self._cut("store")

    def _cut_both(self) -> None:
        self._cut("ledger", "store")

    def _freeze_scheduler(self) -> None:
        if self.schedulers:
            self._world.rng.choice(self.schedulers).process.frozen_until = self._lasting(4)

    def _cancel(self) -> None:
        """Cancel the job, wherever it is led; with what is finished so far, sometimes."""
        self._canceled = True
        partial = self._world.rng.random() < 0.5
        for scheduler in self.schedulers:
            scheduler.send({"command": "cancel", "job": "job", "keep_partial": partial})

    def _pause(self) -> None:
        """Pause the job, and let it go on later."""
        until = self._lasting(3)
        for scheduler in self.schedulers:
            scheduler.send({"command": "pause", "job": "job"})
        self._world.loop.at(until - self._world.loop.now, self._unpause)

    def _share(self) -> None:
        """Limit the job's instances, as a dispatcher does when other jobs wait; lift the limit later."""
        until = self._lasting(2)
        self._limit(self._world.rng.choice((0, 0, 1, 2)))
        self._world.loop.at(until - self._world.loop.now, partial(self._limit, None))

    def _limit(self, instances: int | None) -> None:
        with suppress(LedgerLost):
            self._world.server.ledger.share("job", instances=instances)

    def _unpause(self) -> None:
        self._world.folder.delete(job_folder.WISH_PAUSE)
        for scheduler in self.schedulers:
            scheduler.send({"command": "unpause", "job": "job"})
