"""`gristmill job show` and `verify`: where a job stands, and whether what came out is right."""

from __future__ import annotations

import argparse
from typing import Any

from gristmill import api, asking
from gristmill.cli import job_server
from gristmill.cli.job_place import add_place, job_command
from gristmill.cli.job_words import print_findings, print_standing
from gristmill.errors import Mistake
from gristmill.unfinished import find_running

_SHOW = """\
  gristmill job show scores/
  gristmill job show scores/ --timing
  gristmill job show -n digits-1 --query status -o tsv
"""

_VERIFY = """\
  gristmill job verify scores/
  gristmill job verify -n digits-1
"""


def add(below: Any) -> None:
    """Add the commands."""
    show = job_command(below, "show", summary="show where a job stands", example=_SHOW)
    show.add_argument("-e", "--web", action="store_true", help="with --name: show it in a browser, too")
    show.add_argument("--timing", action="store_true", help="show where the time of a job here went, too")
    add_place(show, here=_show, there=job_server.show_job)
    text = "check from storage that every item is in the output once, or in errors.jsonl"
    verify = job_command(below, "verify", summary=text, example=_VERIFY)
    add_place(verify, here=_verify, there=job_server.verify)


def _show(options: argparse.Namespace) -> int:
    if options.web:
        raise Mistake("--web: a job here has no page for a browser; give --name for a job of the server")
    folder, _ = find_running(options.path)
    print_standing(asking.ask("show", folder), options)
    return 0


def _verify(options: argparse.Namespace) -> int:
    return print_findings(api.verify(options.path), options)
