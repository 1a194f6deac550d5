"""Where the processor time of a job goes: py-spy, in an environment of its own, looks at all of its processes."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks import environments, inputs, running, sides
from benchmarks.cases import Case
from benchmarks.running import Failed

#: Looks a second.
_RATE: Final = 1000

#: Places that have less than this share of a job's time are not shown.
_LEAST: Final = 0.01

_FRAME: Final = re.compile(r"(?P<function>.+) \((?P<file>.+):\d+\)")

#: A process, and the command with which it began: some become another by and by.
_PROCESS: Final = re.compile(r'process (\d+):"(?:[^"]|"(?!;))*"(?:;|$)')

#: What begins the stacks of each kind of process.
_KINDS: Final = {
    "scorer": "gristmill_workers/scorer/child.py",
    "scheduler": "gristmill_scheduler/__main__.py",
    "node": "gristmill_workers/__main__.py",
}

#: What waits, and uses no processor; py-spy takes some of it for work.
_WAITS: Final = ("Condition.wait (", "Event.wait (", "select (", "poll (", "Popen.wait (", "sleep (")


def measure(case: Case, data: Path) -> dict[str, Any]:
    """Run a case once under py-spy; return how often it was seen where.

    Raises:
        Failed: py-spy cannot be had, or the job failed.

    """
    try:
        python = environments.python("profile", ("py-spy",), data)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Failed(f"py-spy: {error}") from error
    with tempfile.TemporaryDirectory(prefix="gristmill-benchmark-", ignore_cleanup_errors=True) as folder:
        scratch = Path(folder)
        seen = scratch / "seen"
        command = [str(python.with_name("py-spy")), "record", "--subprocesses", "--nonblocking", "--format", "raw"]
        command += ["--rate", str(_RATE), "--output", str(seen), "--"]
        command += [str(Path(sys.executable).with_name("gristmill")), "run"]
        command += [str(sides.deployment(case, data, scratch)), "--input", str(inputs.make(data, case.input))]
        output = scratch / "scores.csv"
        running.run([*command, "--output", str(output)], output, running.environment())
        found = folded(seen.read_text(encoding="utf-8").splitlines(), case.script)
    return {"case": case.name, "seen": sum(found.values()), "places": _shares(found)}


def _shares(found: Mapping[tuple[str, str], int]) -> list[dict[str, Any]]:
    total = sum(found.values()) or 1
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return [{"process": kind, "place": place, "share": round(count / total, 3)} for (kind, place), count in ordered]


def folded(lines: Iterable[str], script: str) -> Counter[tuple[str, str]]:
    """Return how often each kind of process was seen in each place: a module of Gristmill's, imports, the script."""
    kinds: dict[str, str] = {}
    seen: list[tuple[str, list[str], int]] = []
    for line in lines:
        stack, _, count = line.rpartition(" ")
        pids, frames = _PROCESS.findall(stack), [frame for frame in _PROCESS.sub("", stack).split(";") if frame]
        if pids and frames and not frames[-1].startswith(_WAITS):
            kind = next((kind for kind, mark in _KINDS.items() if any(mark in frame for frame in frames[:3])), None)
            kinds.update({pids[-1]: kind} if kind else {})
            seen.append((pids[-1], frames, int(count)))
    found: Counter[tuple[str, str]] = Counter()
    for pid, frames, times in seen:
        found[kinds.get(pid, "command"), _place(frames, script)] += times
    return found


def _place(frames: list[str], script: str) -> str:
    """Return where a stack is: in an import, in the script or what it calls, else in the inmost module of ours."""
    files = [found["file"] for found in map(_FRAME.fullmatch, frames) if found is not None]
    if any("<frozen importlib" in file for file in files):
        return "imports"
    if any(Path(file).name == script for file in files):
        return "the script"
    return next((file for file in reversed(files) if "gristmill" in file), "Python itself")


def rows(measured: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a Markdown table."""
    yield f"{measured['case']}, seen {measured['seen']} times"
    yield "| process | where | share |"
    yield "| --- | --- | --- |"
    for one in measured["places"]:
        if one["share"] >= _LEAST:
            yield f"| {one['process']} | {one['place']} | {one['share']:.1%} |"
