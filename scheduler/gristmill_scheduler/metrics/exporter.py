"""The exporter: gathers what is told when Prometheus asks, and writes it in the format that it asks for.

A job's series are told by the server that leads it, those of nodes, computes and the workspace by the one that
dispatches, so that sums over several servers are right (docs/decisions/0028-one-server-tells-of-each-job.md). Nothing
is kept between two scrapes but the last answer, for a moment.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from prometheus_client.core import Metric as Family
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

import gristmill
from gristmill.errors import LedgerFailed
from gristmill_scheduler.jobs.observed import Demand, JobSeen
from gristmill_scheduler.metrics.of_cluster import tell_demand, tell_health, tell_nodes
from gristmill_scheduler.metrics.of_jobs import tell_job
from gristmill_scheduler.metrics.samples import Samples
from gristmill_storage.ledger import Health, JobMeasures

#: Seconds that an answer serves others who ask: a pair of Prometheus servers costs what one does.
SHARED_SECONDS: Final = 0.5

log = logging.getLogger("gristmill.metrics")


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What keeps the number of series small."""

    #: Seconds after a job's end for which it has series: its last values are to be scraped twice.
    linger_seconds: float = 120.0
    #: Jobs that have series at once; those submitted first go before others.
    most_jobs: int = 100


class Jobs(Protocol):
    """What is at hand of the jobs (see `jobs.observed.Observed`)."""

    @property
    def dispatches(self) -> bool:
        """Whether this server begins the jobs of the workspace."""

    @property
    def looked(self) -> float:
        """When it last looked for jobs to begin; 0: not yet."""

    def jobs(self, *, linger: float) -> list[JobSeen]:
        """Return the jobs that are told of here."""

    def counts(self) -> Mapping[str, int]:
        """Return how many jobs have each status."""

    def demand(self) -> Mapping[str, Demand]:
        """Return what is asked of each compute."""


class Ledger(Protocol):
    """What is read of the ledger (see `gristmill_storage.ledger.Measures`)."""

    def jobs(self, names: Sequence[str]) -> Mapping[str, JobMeasures]:
        """Return what is known of jobs."""

    def health(self) -> Health:
        """Return how the server is."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Where it all comes from."""

    jobs: Jobs
    ledger: Ledger
    #: Returns what each node says of itself.
    nodes: Callable[[], Sequence[Mapping[str, Any]]]
    #: Returns how many instances wait in a compute's queue.
    waiting: Callable[[str], int]


class Gathering(Collector):
    """Asks all sources at each scrape."""

    def __init__(self, sources: Sources, bounds: Bounds) -> None:
        """Take where it comes from, and how much of it is told."""
        self._sources = sources
        self._bounds = bounds

    def collect(self) -> Iterator[Family]:
        """Yield the families of all that is told now."""
        began = time.perf_counter()
        samples = Samples()
        samples.describe("build", version=gristmill.__version__)
        try:
            health = self._sources.ledger.health()
        except LedgerFailed as error:
            log.warning("the Redis server does not answer: %s", error)
            health = None
        tell_health(samples, health)
        self._tell_jobs(samples, answers=health is not None)
        if self._sources.jobs.dispatches:
            self._tell_cluster(samples, answers=health is not None)
        samples.add("server_collect_seconds", time.perf_counter() - began)
        return samples.families()

    def _tell_jobs(self, samples: Samples, *, answers: bool) -> None:
        jobs = self._sources.jobs
        seen = jobs.jobs(linger=self._bounds.linger_seconds)
        told = seen[: self._bounds.most_jobs]
        measured = _or_empty(lambda: self._sources.ledger.jobs([job.row.name for job in told])) if answers else {}
        for job in told:
            tell_job(samples, job, measured.get(job.row.name))
        samples.add("server_dispatches", int(jobs.dispatches))
        samples.add("server_led_jobs", sum(not job.row.status for job in seen))
        samples.add("server_left_out_jobs", len(seen) - len(told))
        samples.add("server_dispatcher_last_look_timestamp_seconds", jobs.looked or None)

    def _tell_cluster(self, samples: Samples, *, answers: bool) -> None:
        sources = self._sources
        for status, count in sources.jobs.counts().items():
            samples.add("jobs", count, status=status)
        demand = sources.jobs.demand()
        nodes = _or_none(sources.nodes) if answers else None
        tell_nodes(samples, nodes or ())
        serving = {str(node["compute"]) for node in nodes or () if node.get("compute")}
        tell_demand(samples, {**{compute: Demand() for compute in serving}, **demand})
        for compute in sorted(serving | set(demand)) if answers else ():
            samples.add("compute_waiting_messages", _or_none(lambda: sources.waiting(compute)), compute=compute)  # noqa: B023 - called at once


class Exporter:
    """Writes what is gathered; safe to share between threads."""

    def __init__(
        self, sources: Sources, bounds: Bounds | None = None, *, shared_seconds: float = SHARED_SECONDS
    ) -> None:
        """Take where it comes from, how much of it is told, and for how long one answer serves all who ask."""
        self._gathering = Gathering(sources, bounds or Bounds())
        self._shared_seconds = shared_seconds
        self._lock = threading.Lock()
        self._written: dict[str, tuple[float, bytes]] = {}

    def write(self, accept: str) -> tuple[bytes, str]:
        """Return what is told, and its media type, as the header `accept` wants it: OpenMetrics, or the older text."""
        encode, kind = _encoder(accept)
        with self._lock:
            oldest = time.monotonic() - self._shared_seconds
            self._written = {key: each for key, each in self._written.items() if each[0] >= oldest}
            if kind not in self._written:
                text = encode(self._gathering)
                self._written[kind] = (time.monotonic(), text)
            return self._written[kind][1], kind


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Return what writes in the format that is asked for, and its media type; the older text for nonsense."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # a version that is no number
        return choose_encoder("")


def _or_none(ask: Callable[[], Any]) -> Any:
    """Return an answer; None where the Redis server went away meanwhile."""
    try:
        return ask()
    except LedgerFailed as error:
        log.warning("the Redis server does not answer: %s", error)
        return None


def _or_empty(ask: Callable[[], Mapping[str, JobMeasures]]) -> Mapping[str, JobMeasures]:
    found: Mapping[str, JobMeasures] | None = _or_none(ask)
    return found or {}
