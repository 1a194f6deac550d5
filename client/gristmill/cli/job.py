"""`gristmill job ...`: what can be done with a job that was begun."""

from __future__ import annotations

import argparse
from typing import Any

from gristmill import api
from gristmill.cli.follow import follow
from gristmill.cli.options import command

_EXAMPLE = """\
  gristmill job resume scores/
"""


def add(commands: Any) -> None:
    """Add the command and those below it."""
    parser = commands.add_parser("job", help="go on with a job", description="Go on with a job.")
    below = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    resume = command(below, "resume", summary="go on with a job that was cancelled or failed", example=_EXAMPLE)
    resume.add_argument("path", metavar="PATH", help="the job's output folder, or its own folder in .gristmill/")
    resume.set_defaults(command=_resume)


def _resume(options: argparse.Namespace) -> int:
    return follow(lambda: api.resume(options.path), options)
