"""The faults: what each does to the world, and how it is taken back.

A fault is a context: it strikes on entering, holds while it lasts, and everything is mended on leaving, so that what
comes after is the system's own recovery. `Inapplicable` is raised before anything was done when there is nothing to
strike.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Final

from chaos.processes import Relative, stopped
from chaos.watch import Watch
from chaos.workload import COMPUTE
from chaos.world import REDIS, SCHEDULER, STORAGE, World, can_take_over, wait_until
from gristmill_storage import server
from gristmill_storage.queue import KEY_PREFIX, queue_name

#: Seconds from the death of Redis to its next start.
_REDIS_AWAY: Final = 1.0

#: Seconds after which nothing may be left of a node that was killed.
_LEFT_SECONDS: Final = 5.0


class Inapplicable(Exception):
    """There is nothing to strike at this moment."""


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Where faults strike."""

    world: World
    watch: Watch
    #: Whether the job's output is on the storage server.
    on_storage: bool
    #: Notes what should not be.
    complain: Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Strike:
    """A fault that was drawn."""

    kind: str
    #: The node that it hits, if it hits a node.
    node: str
    #: Seconds that it lasts.
    seconds: float
    #: For a choice among what is there at that moment; from 0 to 1.
    pick: float


Act = Callable[[Scene, Strike], AbstractContextManager[None]]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of fault."""

    act: Act
    #: What two faults may not strike at once: "node" (the one drawn), "redis", "scheduler", "storage", "disk".
    claims: frozenset[str]
    #: Seconds that it lasts, the least and the most, in leases.
    leases: tuple[float, float] = (0.0, 0.0)
    #: How often it is drawn, against others.
    weight: float = 1.0
    #: Whether it must be seen that the nodes hit (all, where it hits none in particular) work again.
    recovers: bool = True


def _killed_redis(scene: Scene, *, empty: bool) -> Iterator[None]:
    kept = scene.world.kept(REDIS)
    with scene.world.outage(REDIS):
        kept.held = True
        kept.kill()
        if empty:
            shutil.rmtree(scene.world.folder / "redis" / "appendonlydir")
        time.sleep(_REDIS_AWAY)
        kept.start()
        kept.held = False
        server.wait_until_ready(scene.world.watch_url, 30)
    yield


@contextlib.contextmanager
def restart_redis(scene: Scene, strike: Strike) -> Iterator[None]:
    """Kill -9 Redis; a second later it reads its append-only file."""
    yield from _killed_redis(scene, empty=False)


@contextlib.contextmanager
def empty_redis(scene: Scene, strike: Strike) -> Iterator[None]:
    """Kill -9 Redis; a second later a new, empty one is in its place."""
    yield from _killed_redis(scene, empty=True)


@contextlib.contextmanager
def pause_redis(scene: Scene, strike: Strike) -> Iterator[None]:
    """Hold Redis still: connections stay, nothing is answered."""
    with scene.world.outage(REDIS), stopped(scene.world.kept(REDIS).family()):
        yield


@contextlib.contextmanager
def flush_redis(scene: Scene, strike: Strike) -> Iterator[None]:
    """Empty Redis while all are connected."""
    scene.watch.ledger("FLUSHALL")
    yield


@contextlib.contextmanager
def lose_messages(scene: Scene, strike: Strike) -> Iterator[None]:
    """Delete what waits in the nodes' queue."""
    if not scene.watch.ledger("DEL", f"{KEY_PREFIX}{queue_name(COMPUTE)}"):
        raise Inapplicable
    yield


@contextlib.contextmanager
def kill_scorer(scene: Scene, strike: Strike) -> Iterator[None]:
    """Kill -9 one of a node's scorers."""
    _picked_scorer(scene, strike).send(signal.SIGKILL)
    yield


@contextlib.contextmanager
def stop_scorer(scene: Scene, strike: Strike) -> Iterator[None]:
    """Hold one of a node's scorers still."""
    with stopped([_picked_scorer(scene, strike)]):
        yield


def _picked_scorer(scene: Scene, strike: Strike) -> Relative:
    scorers = scene.world.scorers(strike.node)
    if not scorers:
        raise Inapplicable
    return scorers[int(strike.pick * len(scorers)) % len(scorers)]


@contextlib.contextmanager
def kill_node(scene: Scene, strike: Strike) -> Iterator[None]:
    """Kill -9 a node, none of its children; it is started again a second later."""
    kept = scene.world.kept(strike.node)
    children = kept.family()[1:]
    if kept.dead:
        raise Inapplicable
    starts = kept.starts
    with scene.world.outage(strike.node):
        kept.kill()
        wait_until(lambda: kept.starts > starts, 10, f"{strike.node} to be started again")
    threading.Thread(target=_see_them_gone, args=(scene, strike.node, children), daemon=True).start()
    yield


def _see_them_gone(scene: Scene, node: str, children: list[Relative]) -> None:
    deadline = time.monotonic() + _LEFT_SECONDS - 1
    while any(child.alive for child in children) and time.monotonic() < deadline:
        time.sleep(0.1)
    for child in children:
        if child.alive:
            scene.complain(f"{_LEFT_SECONDS:g} s after {node} was killed its child {child.pid} lives: {child.command}")


@contextlib.contextmanager
def kill_aggregator(scene: Scene, strike: Strike) -> Iterator[None]:
    """Kill -9 the node that aggregates."""
    node = scene.watch.aggregator_node()
    if node is None:
        raise Inapplicable
    with kill_node(scene, Strike(kind=strike.kind, node=node, seconds=0, pick=0)):
        yield


@contextlib.contextmanager
def end_node(scene: Scene, strike: Strike) -> Iterator[None]:
    """Tell a node to leave (SIGTERM); it is started again a second after it left."""
    kept = scene.world.kept(strike.node)
    starts = kept.starts
    with scene.world.outage(strike.node):
        kept.send(signal.SIGTERM)
        try:
            wait_until(lambda: kept.starts > starts, 40, f"{strike.node} to leave")
        except AssertionError:
            scene.complain(f"40 s after SIGTERM {strike.node} has not left")
            kept.kill()
    yield


@contextlib.contextmanager
def stop_node(scene: Scene, strike: Strike) -> Iterator[None]:
    """Hold a node still with its scorers, for longer than its lease."""
    with scene.world.outage(strike.node), stopped(scene.world.kept(strike.node).family()):
        yield


@contextlib.contextmanager
def kill_scheduler(scene: Scene, strike: Strike) -> Iterator[None]:
    """Kill -9 the scheduler; it is started again a second later and has to find the job by itself."""
    if not can_take_over():
        raise Inapplicable
    kept = scene.world.kept(SCHEDULER)
    starts = kept.starts
    kept.kill()
    wait_until(lambda: kept.starts > starts, 10, "the scheduler to be started again")
    yield


@contextlib.contextmanager
def _cut(scene: Scene, node: str, *members: str) -> Iterator[None]:
    """Drop all packets between a node and others."""
    if not scene.world.partitions or (members == (STORAGE,) and not scene.on_storage):
        raise Inapplicable
    with contextlib.ExitStack() as stack:
        stack.enter_context(scene.world.outage(node))
        for member in members:
            scene.world.network.cut(node, member)
            stack.callback(scene.world.network.heal, node, member)
        yield


@contextlib.contextmanager
def cut_redis(scene: Scene, strike: Strike) -> Iterator[None]:
    """Drop all packets between a node and Redis, for longer than a lease."""
    with _cut(scene, strike.node, REDIS):
        yield


@contextlib.contextmanager
def cut_storage(scene: Scene, strike: Strike) -> Iterator[None]:
    """Drop all packets between a node and storage, for longer than a lease."""
    with _cut(scene, strike.node, STORAGE):
        yield


@contextlib.contextmanager
def cut_both(scene: Scene, strike: Strike) -> Iterator[None]:
    """Drop all packets between a node and all services, for longer than a lease."""
    with _cut(scene, strike.node, REDIS, STORAGE):
        yield


@contextlib.contextmanager
def pause_storage(scene: Scene, strike: Strike) -> Iterator[None]:
    """Hold the storage server still."""
    if not scene.on_storage:
        raise Inapplicable
    with scene.world.outage(*scene.world.nodes), stopped(scene.world.kept(STORAGE).family()):
        yield


@contextlib.contextmanager
def fill_disk(scene: Scene, strike: Strike) -> Iterator[None]:
    """Fill the file system of the output, and empty it again."""
    if scene.on_storage or scene.world.plan.disk is None or not _is_patient():
        raise Inapplicable
    filler = scene.world.output / "filler"
    with scene.world.outage(*scene.world.nodes):
        try:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while file.write(b"\0" * (1 << 16)):
                    pass
            yield
        finally:
            filler.unlink()


def _is_patient() -> bool:
    """Return whether this Gristmill waits for a disk that is full."""
    return find_spec("gristmill_storage.patience") is not None


_NODE: Final = frozenset({"node"})

#: Every kind of fault by its name. Durations are in leases: what is cut off or stopped is so for longer than one.
KINDS: Final[dict[str, Kind]] = {
    "kill scorer": Kind(act=kill_scorer, claims=_NODE, weight=2),
    "stop scorer": Kind(act=stop_scorer, claims=_NODE, leases=(1, 2.5)),
    "kill node": Kind(act=kill_node, claims=_NODE, weight=2),
    "end node": Kind(act=end_node, claims=_NODE),
    "stop node": Kind(act=stop_node, claims=_NODE, leases=(2, 2.2)),
    "kill aggregator": Kind(act=kill_aggregator, claims=_NODE, weight=0, recovers=False),
    "kill scheduler": Kind(act=kill_scheduler, claims=frozenset({"scheduler"}), recovers=False),
    "restart redis": Kind(act=restart_redis, claims=frozenset({"redis"})),
    "pause redis": Kind(act=pause_redis, claims=frozenset({"redis"}), leases=(0.5, 10)),
    "flush redis": Kind(act=flush_redis, claims=frozenset({"redis"})),
    "empty redis": Kind(act=empty_redis, claims=frozenset({"redis"})),
    "lose messages": Kind(act=lose_messages, claims=frozenset({"redis"}), weight=0.5, recovers=False),
    "cut redis": Kind(act=cut_redis, claims=_NODE, leases=(1.3, 2.5)),
    "cut storage": Kind(act=cut_storage, claims=_NODE, leases=(1.3, 2.5)),
    "cut both": Kind(act=cut_both, claims=_NODE, leases=(1.3, 2.5)),
    "pause storage": Kind(act=pause_storage, claims=frozenset({"storage"}), leases=(0.5, 2)),
    "fill disk": Kind(act=fill_disk, claims=frozenset({"disk"}), leases=(0.7, 2)),
}
