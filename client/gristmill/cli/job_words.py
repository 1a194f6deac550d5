"""What is told of a job: where it stands, and whether what came out of it is right."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from gristmill.cli.output import print_result
from gristmill.cli.progress import headline, planned
from gristmill.counts import counted


def print_findings(found: Mapping[str, Any], options: argparse.Namespace) -> int:
    """Print what a verification found; return the exit code."""
    if options.format is None and options.query is None:
        sys.stdout.write(_findings(found))
    else:
        print_result(found, options.format, options.query)
    return 0 if found["ok"] else 1


def _findings(found: Mapping[str, Any]) -> str:
    """Return what a person wants to know of a verification."""
    lines = [f"  {fault}" for fault in found["faults"]]
    head = "everything is in its place" if found["ok"] else counted(len(lines), "fault")
    checked = ", ".join(f"{count:,} {what.replace('_', '-')}" for what, count in found["checked"].items() if count)
    return "\n".join([f"{found['job']}: {head}", *lines, *([f"  checked  {checked}"] if checked else [])]) + "\n"


def print_standing(standing: Mapping[str, Any], options: argparse.Namespace) -> None:
    """Print where a job stands."""
    if options.format is None and options.query is None:
        sys.stdout.write(describe(standing))
        if getattr(options, "timing", False):
            sys.stdout.write(_timing(standing.get("timing")))
    else:
        print_result(standing, options.format, options.query)


def describe(standing: Mapping[str, Any]) -> str:
    """Return where a job stands as a person wants to read it."""
    lines = [f"{standing['name']}: {headline(standing['status'], standing['detail'])}"]
    error = standing["error"]
    if error:
        lines.append(f"  error    {error['message']}")
    lines.append(f"  items    {_items(standing)}")
    lines += [f"  {name:<8} {standing[name]}" for name in ("output", "errors", "summary", "folder") if standing[name]]
    return "\n".join(lines) + "\n"


def _timing(timing: Mapping[str, Any] | None) -> str:
    """Return where the time went, a line each, and what held the job back."""
    if timing is None:
        return "  timing   not known: it is told of a job that has ended\n"
    split: Mapping[str, float] = timing["seconds"]
    total = sum(split.values()) or 1.0
    lines = [f"  {name:<12} {each:>10,.2f} s {100 * each / total:>4.0f} %" for name, each in split.items()]
    return "\n".join([f"  {timing['held_back']}", *lines]) + "\n"


def _items(standing: Mapping[str, Any]) -> str:
    items, batches = standing["items"] or {}, standing["mini_batches"] or {}
    words = [f"{items.get('succeeded', 0):,} succeeded", f"{items.get('failed', 0):,} failed"]
    if items.get("unscored"):
        words.append(f"{items['unscored']:,} not scored")
    if "planned" in batches:
        of = planned(batches["planned"], closed=bool(batches.get("plan_closed")))
        words.append(f"{batches['done']:,} of {of}")
    return ", ".join(words)
