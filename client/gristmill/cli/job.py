"""`gristmill job ...`: what can be done with a job that was begun, here (PATH) or by a server (--name)."""

from __future__ import annotations

import argparse
from typing import Any

from gristmill.cli import job_continue, job_logs, job_look, job_server, job_stream, job_wishes


def add(commands: Any) -> None:
    """Add the command and those below it."""
    text = "Look at a job, hold it up, end it, go on with it."
    parser = commands.add_parser("job", help="look at a job, hold it up, end it, go on with it", description=text)
    below: argparse._SubParsersAction[Any] = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (job_look, job_stream, job_logs, job_server, job_wishes, job_continue):
        module.add(below)
