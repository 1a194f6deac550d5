"""What a dashboard is made of, and what Grafana wants around it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

#: What Grafana fills in: a time in which a rate has enough scrapes.
RATE: Final = "[$__rate_interval]"

#: Where Grafana asks a server with the token that it keeps (provisioning/datasources/files.yml).
FILES: Final = "/api/datasources/proxy/uid/gristmill-files"

#: Grafana's own width.
_COLUMNS: Final = 24
_SCHEMA: Final = 39
_SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One panel."""

    title: str
    #: Expression and legend of each query.
    queries: Sequence[tuple[str, str]] = ()
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 8
    #: What it shows that its title does not say.
    text: str = ""
    #: Whether its series are piled up.
    stacked: bool = False
    #: From where on a value is yellow and red.
    thresholds: Sequence[float] = ()
    #: Markdown, of a panel of text.
    content: str = ""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Panels under one heading."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """One dashboard."""

    uid: str
    title: str
    text: str
    rows: Sequence[Row]
    #: Whether it shows one job, which is chosen at its head.
    of_a_job: bool = False


def graph(title: str, *queries: tuple[str, str], **more: Any) -> Panel:
    """Return a panel of lines over time; a query is an expression and its legend."""
    return Panel(title=title, queries=queries, **more)


def stat(title: str, expression: str, unit: str = "short", *, legend: str = "", **more: Any) -> Panel:
    """Return a panel that shows one value."""
    queries = ((expression, legend or title),)
    return Panel(title=title, queries=queries, kind="stat", unit=unit, **{"width": 4, "height": 4, **more})


def document(dashboard: Dashboard) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.text,
        "tags": ["gristmill"],
        "timezone": "",
        "schemaVersion": _SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-30m", "to": "now"},
        "links": [
            {"type": "dashboards", "tags": ["gristmill"], "title": "Gristmill", "asDropdown": True, "includeVars": True}
        ],
        "templating": {"list": list(_variables(dashboard))},
        "panels": list(_panels(dashboard.rows)),
    }


def _variables(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    if dashboard.of_a_job:
        query = "label_values(gristmill_job_info, batch_job)"
        yield {
            "name": "job", "type": "query", "label": "Job", "datasource": _SOURCE,
            "query": {"query": query, "refId": "job"}, "refresh": 2, "sort": 2,
        }  # fmt: skip
        yield {
            "name": "server", "type": "textbox", "label": "Server", "query": FILES,
            "current": {"text": FILES, "value": FILES},
        }  # fmt: skip


def _panels(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for row in rows:
        number += 1
        yield {"id": number, "type": "row", "title": row.title, "collapsed": False, "panels": [],
               "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1}}  # fmt: skip
        left, top = 0, top + 1
        for panel in row.panels:
            number += 1
            place = {"x": left, "y": top, "w": panel.width, "h": panel.height}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            left += panel.width
        assert left <= _COLUMNS, row.title
        top += max(panel.height for panel in row.panels)


def _panel(panel: Panel) -> dict[str, Any]:
    plain = {"type": panel.kind, "title": panel.title, "description": panel.text}
    if panel.kind == "text":
        return {**plain, "options": {"mode": "markdown", "content": panel.content}}
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    if panel.thresholds:
        warning, bad = panel.thresholds
        steps = [
            {"color": "green", "value": None},
            {"color": "yellow", "value": warning},
            {"color": "red", "value": bad},
        ]
        defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.stacked:
        defaults["custom"] = {"stacking": {"mode": "normal"}, "fillOpacity": 20}
    return {
        **plain,
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _stat_options(panel) if panel.kind == "stat" else {"legend": {"displayMode": "list"}},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for place, (expression, legend) in enumerate(panel.queries)
        ],
    }


def _stat_options(panel: Panel) -> dict[str, Any]:
    named = panel.queries[0][1].startswith("{{")
    return {"textMode": "name" if named else "value", "reduceOptions": {"calcs": ["lastNotNull"]}}
