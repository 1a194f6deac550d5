"""`gristmill job resume` and `retry-failed`: a job goes on, followed to its end as `gristmill run` does."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from gristmill import api, asking
from gristmill.cli import job_server
from gristmill.cli.follow import follow
from gristmill.cli.job_place import add_place, job_command
from gristmill.cli.output import print_result
from gristmill.states import JobStatus
from gristmill.unfinished import find_complete

_RESUME = """\
  gristmill job resume scores/
  gristmill job resume -n digits-1
"""

_RETRY = """\
  gristmill job retry-failed scores/
  gristmill job retry-failed -n digits-1
"""


def add(below: Any) -> None:
    """Add the commands."""
    resume = job_command(below, "resume", summary="go on with a job that was cancelled or failed", example=_RESUME)
    add_place(resume, here=_resume, there=job_server.ask("resume"))
    text = "score the failed items of a completed job again, into the same output"
    retry = job_command(below, "retry-failed", summary=text, example=_RETRY)
    add_place(retry, here=_retry, there=job_server.ask("retry_failed"))


def _resume(options: argparse.Namespace) -> int:
    return follow(lambda: api.resume(options.path), options)


def _retry(options: argparse.Namespace) -> int:
    folder, _ = find_complete(options.path)
    standing = asking.ask("show", folder)
    if standing["status"] == JobStatus.COMPLETED and not standing["items"]["failed"]:
        if options.format is None and options.query is None:
            sys.stdout.write(f"{standing['name']}: no item failed; there is nothing to try again\n")
        else:
            print_result(standing, options.format, options.query)
        return 0
    return follow(lambda: api.retry_failed(options.path), options)
