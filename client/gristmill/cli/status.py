"""`gristmill status`: who works for the server, what waits, and how many jobs there are."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any, Final

from gristmill.cli import server
from gristmill.cli.output import print_result, render
from gristmill.cli.service_options import service_command
from gristmill.service.resource import plain

_EXAMPLE: Final = """\
  gristmill status
  gristmill status --query jobs -o json
"""


def add(commands: Any) -> None:
    """Add the command."""
    text = "show the server's nodes, queues, and jobs by status"
    service_command(commands, "status", _status, summary=text, example=_EXAMPLE)


def _status(options: argparse.Namespace) -> int:
    with server.connect() as client:
        document = {"url": client.url, **plain(client.status())}
    if options.format == "table" or not (options.format or options.query):
        sys.stdout.write(page(document))
        return 0
    print_result(document, options.format, options.query)
    return 0


def page(document: Mapping[str, Any]) -> str:
    """Return the status as a person reads it."""
    redis = "" if document.get("redis") else "redis:     does not answer\n"
    models = f"models:    {_registry(document['registry'])}\n" if "registry" in document else ""
    version = f" (Gristmill {document['version']})" if "version" in document else ""
    head = f"server:    {document['url']}{version}\nworkspace: {document.get('workspace', '')}\n{models}{redis}"
    queues = [
        {"compute": each["compute"], "waiting for a node": each["waiting"]} for each in document.get("queues", [])
    ]
    jobs = [{"jobs": status, "count": count} for status, count in document.get("jobs", {}).items() if count]
    nodes = [_node(each) for each in document.get("nodes", [])]
    kept = [row for each in document.get("nodes", []) for row in _kept(each)]
    problems = sorted({f"problem: {each['problem']}\n" for each in document.get("nodes", []) if each.get("problem")})
    tables = [render(rows, "table") for rows in (nodes, kept, queues, jobs) if rows]
    if not nodes:
        tables.insert(0, "no nodes: nothing can be scored until one serves a compute (gristmill node)\n")
    if problems:
        tables.insert(1, "".join(problems))
    if not jobs:
        tables.append("no jobs\n")
    return "\n".join([head, *tables])


def _registry(registry: Mapping[str, Any] | None) -> str:
    if registry is None:
        return "by their paths only: there is no registry"
    state = {True: "", False: " (does not answer)", None: " (not known yet whether it answers)"}
    return f"in the registry {registry['address']}{state[registry.get('answers')]}"


def _kept(node: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the scorers that a node keeps for a deployment's next job."""
    name = node.get("host") or node.get("name")
    return [
        {"kept for": each["deployment"], "scorers": each["scorers"], "node": name} for each in node.get("resting") or []
    ]


def _node(node: Mapping[str, Any]) -> dict[str, Any]:
    running = [job for job in node.get("running") or [] if job]
    slots = node.get("slots") or 0
    return {
        "node": node.get("host") or node.get("name"),
        "address": node.get("address") or "",
        "version": node.get("version"),
        "compute": node.get("compute"),
        "busy": f"{len(running)} of {slots}",
        "with": ", ".join(sorted(set(running))),
        "since": node.get("since"),
        "seen": f"{round(float(node.get('age_seconds') or 0))} s ago",
    }
