"""A job by its path here, or by its name on a server: a command that takes either, and which of them is meant."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from gristmill.cli.options import command
from gristmill.cli.service_options import add_azure_options
from gristmill.errors import Mistake

Command = Callable[[argparse.Namespace], int]


def job_command(below: Any, name: str, *, summary: str, example: str) -> argparse.ArgumentParser:
    """Add a command of `gristmill job` that takes either; return its parser."""
    return command(below, name, summary=summary, example=example, form=("--output", "--format"))


def add_place(parser: argparse.ArgumentParser, *, here: Command, there: Command) -> None:
    """Add PATH and `-n/--name`, and what is done for the one and for the other."""
    parser.add_argument(
        "path", nargs="?", metavar="PATH", help="a job here: its output folder, or its own folder in .gristmill/"
    )
    parser.add_argument("-n", "--name", metavar="NAME", help="instead of PATH: a job of the server")
    add_azure_options(parser)
    parser.set_defaults(command=lambda options: _chosen(options, here, there)(options))


def _chosen(options: argparse.Namespace, here: Command, there: Command) -> Command:
    if options.path is not None and options.name is not None:
        raise Mistake(f"{options.path} and --name {options.name}: PATH is a job here, --name one of a server; give one")
    if options.path is None and options.name is None:
        raise Mistake("say which job: PATH for one here, --name for one of a server")
    return here if options.name is None else there
