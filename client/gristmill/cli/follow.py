"""Follows a job from its start to its end on the command line, and takes it down when the user asks for that."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from gristmill.cli.display import open_display
from gristmill.cli.interrupts import Interrupts
from gristmill.cli.output import print_result
from gristmill.cli.progress import duration, rate
from gristmill.counts import counted
from gristmill.errors import GristmillError, StorageFailed
from gristmill.job import Job
from gristmill.local.session import close_all
from gristmill.states import JobStatus

#: Seconds that a cancelled job has to end in order.
_CANCEL_SECONDS: Final = 5.0

#: Seconds between two looks at that.
_LOOK_SECONDS: Final = 0.05

#: What a shell adds to the number of the signal that ended a program.
_SIGNALLED: Final = 128


def follow(start: Callable[[], Job], options: argparse.Namespace) -> int:
    """Start a job, show its progress, print its result; return the exit code.

    Args:
        start: begins the job.
        options: of the command.

    Raises:
        GristmillError: the job was refused or failed, as `Job.wait` says.

    """
    with Interrupts() as interrupts:
        began = time.monotonic()
        try:
            job = start()
            with open_display(job.name) as display:
                over = job.follow(display, until=lambda: interrupts.count() > 0)
                if not over:
                    _cancel(job, interrupts)
                    display.show(job.status, job.detail, job.progress)
            return _finish(job, interrupts, options, time.monotonic() - began)
        finally:
            close_all(at_once=interrupts.count() > 1)


def _cancel(job: Job, interrupts: Interrupts) -> None:
    """Let the job end in order; a second signal or a few seconds end it anyhow."""
    job.cancel()
    deadline = time.monotonic() + _CANCEL_SECONDS
    while not job.gone(_LOOK_SECONDS):
        if interrupts.count() > 1 or time.monotonic() >= deadline:
            job.close(at_once=True)


def _finish(job: Job, interrupts: Interrupts, options: argparse.Namespace, seconds: float) -> int:
    if interrupts.first and job.status is not JobStatus.COMPLETED:
        sys.stderr.write("canceled\n" if job.resumable else "canceled before anything was started\n")
        _tell_how_to_resume(job)
        return _SIGNALLED + interrupts.first
    try:
        job.wait()
    except GristmillError:
        if job.errors_path:
            sys.stderr.write(f"what became of each failed item, and why: {job.errors_path}\n")
        _tell_how_to_resume(job)
        raise
    if options.format is None and options.query is None:
        sys.stdout.write(report(job, seconds))
    else:
        print_result(document(job), options.format, options.query)
    return _SIGNALLED + interrupts.first if interrupts.first else 0


def _tell_how_to_resume(job: Job) -> None:
    if job.resumable:
        sys.stderr.write(f"what was scored is kept; go on with: gristmill job resume {shlex.quote(job.folder)}\n")


def document(job: Job) -> dict[str, Any]:
    """Return a finished job's result document: its summary, led by what scripts ask for most."""
    head = {
        "name": job.name,
        "status": str(job.status),
        "output": job.output,
        "errors": job.errors_path or None,
        "folder": job.folder,
    }
    try:
        return {**head, **job.summary}
    except StorageFailed:
        # A summary on another store is not for this process to read.
        return {**head, "summary": job.summary_path or None}


def report(job: Job, seconds: float) -> str:
    """Return what a person wants to know of a finished job."""
    progress = job.progress
    counts = [counted(progress.items_done, "item"), counted(progress.rows, "row"), f"{progress.failed:,} failed"]
    # A job that was resumed did only a part of its items in this time.
    pace = "" if job.resumed or seconds <= 0 else f" ({rate(progress.items_done / seconds)} items/s)"
    lines = [f"{', '.join(counts)}, in {duration(seconds)}{pace}", f"  output   {job.output}"]
    if job.errors_path and progress.failed:
        lines.append(f"  errors   {job.errors_path}")
    if job.summary_path:
        lines.append(f"  summary  {job.summary_path}")
    return "\n".join(lines) + "\n"
