"""`gristmill job logs`: what a server's job wrote, also while it runs."""

from __future__ import annotations

import argparse
import fnmatch
import sys
from typing import Any, Final

from gristmill.cli import server
from gristmill.cli.service_options import add_name, service_command
from gristmill.cli.views import LOG, show_all
from gristmill.errors import Mistake

_LOGS: Final = """\
  gristmill job logs -n digits-1
  gristmill job logs -n digits-1 --list -o table
  gristmill job logs -n digits-1 --file '*/error.txt'
"""

#: Where the scripts' own words are; the others are Gristmill's.
_USER: Final = "logs/user/*"


def add(below: Any) -> None:
    """Add the command."""
    text = "print what a job's scripts wrote; the other logs by --file"
    parser = service_command(below, "logs", _logs, summary=text, example=_LOGS)
    add_name(parser, "job")
    parser.add_argument("--file", metavar="PATTERN", help="print the logs of this name, * and ? stand for anything")
    parser.add_argument("--list", action="store_true", help="list the logs instead, with their sizes")


def _logs(options: argparse.Namespace) -> int:
    jobs = server.connect().jobs
    there = jobs.files(options.name)
    found = [file for file in there if _wanted(str(file["path"]), options)]
    if options.list:
        return show_all(found, options, LOG)
    if options.file and not found:
        names = ", ".join(str(file["path"]) for file in there)
        raise Mistake(f"--file {options.file}: no such log; there are: {names}")
    for file in found:
        if file["size"]:
            _print(jobs, options, str(file["path"]), head=len(found) > 1)
    return 0


def _wanted(path: str, options: argparse.Namespace) -> bool:
    if options.file is None:
        return options.list or fnmatch.fnmatchcase(path, _USER)
    return fnmatch.fnmatchcase(path, options.file) or path == options.file


def _print(jobs: Any, options: argparse.Namespace, path: str, *, head: bool) -> None:
    """Print a log, below its name if it is one of many."""
    if head:
        sys.stdout.write(f"==> {path} <==\n")
    last = b"\n"
    for chunk in jobs.read(options.name, path):
        sys.stdout.write(chunk.decode("utf-8", "replace"))
        last = chunk[-1:] or last
    sys.stdout.write("" if last == b"\n" else "\n")
