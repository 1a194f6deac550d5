"""Draws faults by a seed and lets them strike while a job runs; notes what came of each."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from chaos.faults import KINDS, Inapplicable, Scene, Strike

#: Seconds between two strikes, the least and the most.
PAUSE = (2.0, 5.0)


@dataclass(kw_only=True)
class Struck:
    """A fault that struck."""

    strike: Strike
    #: By the monotonic clock; `ended` is None while it holds.
    began: float
    ended: float | None = None
    #: When all that it hit worked again; None: not seen before the job ended or the next fault hit the same.
    recovered: float | None = None

    @property
    def recovery_seconds(self) -> float | None:
        """Seconds from its end to the recovery."""
        return None if self.recovered is None or self.ended is None else self.recovered - self.ended


def draws(
    seed: str, *, nodes: Sequence[str], kinds: Sequence[str], lease_seconds: float, longest: float
) -> Iterator[tuple[float, Strike]]:
    """Yield (seconds to wait, what then strikes), without end; the same for the same arguments.

    Args:
        seed: Chooses.
        nodes: Names of the nodes that can be hit.
        kinds: Kinds of faults to choose from.
        lease_seconds: Seconds of a lease, by which faults last.
        longest: Seconds that none lasts longer than.

    """
    rng = random.Random(seed)
    weights = [KINDS[kind].weight for kind in kinds]
    while True:
        pause = rng.uniform(*PAUSE)
        kind = rng.choices(kinds, weights)[0]
        node, pick, share = rng.choice(nodes), rng.random(), rng.random()
        least, most = KINDS[kind].leases
        seconds = min(longest, lease_seconds * (least + share * (most - least)))
        yield pause, Strike(kind=kind, node=node, seconds=seconds, pick=pick)


class Nemesis:
    """Strikes, each fault in a thread of its own, until it is closed; then everything is mended."""

    def __init__(self, scene: Scene, strikes: Iterator[tuple[float, Strike]], *, at_aggregation: bool) -> None:
        """Begin.

        Args:
            scene: Where.
            strikes: What, and when.
            at_aggregation: Whether the aggregator is killed once, too.

        """
        self._scene = scene
        self._strikes = strikes
        self._aggregator_dies = at_aggregation
        self.struck: list[Struck] = []
        self._claimed: set[str] = set()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._strikers: list[threading.Thread] = []
        self._threads = [threading.Thread(target=run, daemon=True) for run in (self._run, self._follow)]
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Let nothing strike any more, and mend everything."""
        self._stopping.set()
        for thread in [*self._threads, *self._strikers]:
            thread.join()
        self._see_recoveries()

    def _run(self) -> None:
        for pause, strike in self._strikes:
            if self._stopping.wait(pause):
                return
            self._begin(strike)

    def _follow(self) -> None:
        """See what recovers; kill the aggregator when it is its turn."""
        while not self._stopping.wait(0.1):
            self._see_recoveries()
            if self._aggregator_dies and (node := self._scene.watch.aggregator_node()) is not None:
                self._aggregator_dies = False
                self._begin(Strike(kind="kill aggregator", node=node, seconds=0, pick=0))

    def _begin(self, strike: Strike) -> None:
        """Let it strike, unless another fault has a hand on the same thing."""
        claims = {strike.node if claim == "node" else claim for claim in KINDS[strike.kind].claims}
        with self._lock:
            if claims & self._claimed:
                return
            self._claimed |= claims
        thread = threading.Thread(target=self._strike, args=(strike, claims), name=strike.kind, daemon=True)
        self._strikers.append(thread)
        thread.start()

    def _strike(self, strike: Strike, claims: set[str]) -> None:
        struck = Struck(strike=strike, began=time.monotonic())
        try:
            with KINDS[strike.kind].act(self._scene, strike):
                self.struck.append(struck)
                self._stopping.wait(strike.seconds)
        except Inapplicable:
            return
        except Exception as error:  # noqa: BLE001 - the harness's own fault, which must be seen
            self._scene.complain(f"{strike.kind} could not strike {strike.node}: {error!r}")
        finally:
            struck.ended = time.monotonic()
            with self._lock:
                self._claimed -= claims

    def _see_recoveries(self) -> None:
        for struck in self.struck:
            if struck.ended is not None and struck.recovered is None:
                struck.recovered = self._recovery(struck, struck.ended)

    def _recovery(self, struck: Struck, ended: float) -> float | None:
        """Return when all that a fault hit worked again; None when they do not yet."""
        kind, watch = KINDS[struck.strike.kind], self._scene.watch
        if not kind.recovers:
            return next((gap.end for gap in watch.gaps if gap.end > ended), None)
        nodes = [struck.strike.node] if "node" in kind.claims else self._scene.world.nodes
        worked = [watch.worked.get(node, 0.0) for node in nodes]
        return max(worked) if min(worked) > ended else None
