"""Samples on their way to Prometheus: gathered in any order, told by family in the table's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.core import (
    Metric as Family,
)

from gristmill_scheduler.metrics.families import METRICS, Metric
from gristmill_storage.tallies import BOUNDS

_MICROSECONDS: Final = 1e6

_KINDS: Final = {
    "gauge": GaugeMetricFamily,
    "counter": CounterMetricFamily,
    "histogram": HistogramMetricFamily,
    "info": InfoMetricFamily,
}


class Samples:
    """What is told at one scrape."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._families: dict[str, Family] = {}

    def add(self, name: str, value: float | None, **labels: str) -> None:
        """Add a sample of a gauge or a counter; None: there is nothing to tell."""
        if value is not None:
            metric = METRICS[f"gristmill_{name}"]
            family = self._family(metric)
            assert isinstance(family, GaugeMetricFamily | CounterMetricFamily)
            family.add_metric(_values(metric, labels), value)

    def describe(self, name: str, **labels: str) -> None:
        """Add what something is."""
        metric = METRICS[f"gristmill_{name}"]
        family = self._family(metric)
        assert isinstance(family, InfoMetricFamily)
        family.add_metric(_values(metric, labels), {})

    def histogram(self, name: str, phase: str, tallies: Mapping[str, int], **labels: str) -> None:
        """Add the histogram of a phase, as the ledger counts it (see `gristmill_storage.tallies`)."""
        metric = METRICS[f"gristmill_{name}"]
        counted = {
            float(bound): amount
            for where, _, bound in (tally.partition(":") for tally in tallies)
            if where == phase and bound != "us" and (amount := tallies[f"{phase}:{bound}"])
        }
        total, buckets = 0, []
        for bound in sorted({*BOUNDS, *counted, math.inf}):
            total += counted.get(bound, 0)
            buckets.append(("+Inf" if bound == math.inf else str(bound), float(total)))
        family = self._family(metric)
        assert isinstance(family, HistogramMetricFamily)
        family.add_metric(_values(metric, labels), buckets, tallies.get(f"{phase}:us", 0) / _MICROSECONDS)

    def families(self) -> Iterator[Family]:
        """Yield the families that have samples."""
        return (self._families[name] for name in METRICS if name in self._families)

    def _family(self, metric: Metric) -> Family:
        family = self._families.get(metric.name)
        if family is None:
            family = self._families[metric.name] = _KINDS[metric.kind](metric.name, metric.help, labels=metric.labels)
        return family


def _values(metric: Metric, labels: Mapping[str, str]) -> list[str]:
    """Return the values of a family's labels in its order; others, or fewer, are a fault of ours."""
    assert labels.keys() == set(metric.labels), f"{metric.name}: {sorted(labels)}, not {sorted(metric.labels)}"
    return [labels[label] for label in metric.labels]
