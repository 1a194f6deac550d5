"""The dashboards' panels as tests read them: their queries with Grafana's variables filled in, what these name, and
what a Prometheus answers.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import promql_parser

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "deploy" / "grafana" / "dashboards"

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")

#: Where an expression's parts have other parts.
_BELOW = ("lhs", "rhs", "expr", "args", "param", "vector_selector")


@dataclass(frozen=True, kw_only=True)
class Query:
    """One query of a panel, as it stands in the dashboard."""

    dashboard: str
    panel: str
    expression: str
    legend: str

    def resolved(self, variables: Mapping[str, str]) -> str:
        """Return the expression with the variables filled in; one that nobody knows is a fault of the dashboard."""
        return _VARIABLE.sub(lambda match: variables[match[1] or match[2]], self.expression)


def dashboards() -> dict[str, dict[str, Any]]:
    """Return the committed dashboards by their titles."""
    found = [json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))]
    return {document["title"]: document for document in found}


def queries(document: Mapping[str, Any]) -> Iterator[Query]:
    """Yield the queries of a dashboard's panels."""
    for panel in document["panels"]:
        for target in panel.get("targets", ()):
            yield Query(
                dashboard=document["title"],
                panel=panel["title"],
                expression=target["expr"],
                legend=target["legendFormat"],
            )


def links(document: Mapping[str, Any]) -> list[str]:
    """Return where the texts of a dashboard's panels lead."""
    texts = [panel["options"]["content"] for panel in document["panels"] if panel["type"] == "text"]
    return [target for text in texts for target in re.findall(r"\]\(([^)]+)\)", text)]


def every_query() -> list[Query]:
    return [query for document in dashboards().values() for query in queries(document)]


def selectors(expression: str) -> Iterator[Any]:
    """Yield the selectors of series in an expression.

    Raises:
        ValueError: it is no PromQL.

    """
    waiting = [promql_parser.parse(expression)]
    while waiting:
        part = waiting.pop()
        if isinstance(part, promql_parser.VectorSelector):
            yield part
        for name in _BELOW:
            below = getattr(part, name, None)
            waiting += below if isinstance(below, list) else [below] if below is not None else []


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a Prometheus answers to a query of a panel."""

    query: Query
    #: Series that it returned.
    series: int
    #: All their values that are numbers.
    numbers: list[float]

    def __str__(self) -> str:
        """Return a row of the table that is shown."""
        low, high = (min(self.numbers), max(self.numbers)) if self.numbers else (math.nan, math.nan)
        cells = (self.query.dashboard, self.query.panel, self.query.legend, f"{self.series} series")
        return " | ".join([*cells, f"{len(self.numbers)} numbers, {low:.4g} to {high:.4g}"])


class Prometheus:
    """A Prometheus that answers at an address."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, path: str, **given: Any) -> Any:
        # The machine's own certificates are of no use here, and take long to read.
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=given, timeout=30, trust_env=False, verify=False)
        document = answer.json()
        assert document["status"] == "success", document
        return document["data"]

    def range(self, expression: str, *, start: float, end: float, step: float) -> list[list[float]]:
        """Return the values of each series that a query answers in a time."""
        found = self.ask("query_range", query=expression, start=start, end=end, step=step)["result"]
        return [[float(value) for _, value in series["values"]] for series in found]

    def answer(self, query: Query, variables: Mapping[str, str], *, start: float, end: float, step: float) -> Answer:
        """Return what a panel would show."""
        found = self.range(query.resolved(variables), start=start, end=end, step=step)
        numbers = [value for series in found for value in series if not math.isnan(value)]
        return Answer(query=query, series=len(found), numbers=numbers)


def unknown(expression: str, known: Mapping[str, Any]) -> list[str]:
    """Return what an expression names that nobody tells: a series, or a label of one."""
    found = []
    for selector in selectors(expression):
        metric = known.get(selector.name)
        if metric is None:
            found.append(selector.name)
            continue
        labels = {*metric.labels, "job", "instance", *(["le"] if selector.name.endswith("_bucket") else [])}
        found += [f"{selector.name}{{{it.name}}}" for it in selector.matchers.matchers if it.name not in labels]
    return found
