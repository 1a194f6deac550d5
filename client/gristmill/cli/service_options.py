"""The options of the commands that speak to a server: those that `az ml` has on all of its own."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from gristmill.cli.edits import Edits
from gristmill.cli.output import FORMATS

Command = Callable[[argparse.Namespace], int]


def group(commands: Any, name: str, *, summary: str) -> Any:
    """Add a group of commands; return what `service_command` takes."""
    text = summary[0].upper() + summary[1:] + "."
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=text)
    return parser.add_subparsers(title="commands", metavar="COMMAND", required=True)


def service_command(below: Any, name: str, run: Command, *, summary: str, example: str) -> argparse.ArgumentParser:
    """Add a command of a server with the options that all of them have; return its parser.

    Args:
        below: what `group` returned.
        name: the command's word.
        run: does it, and returns the exit code.
        summary: one sentence for `--help`.
        example: lines that show it.

    """
    parser: argparse.ArgumentParser = below.add_parser(
        name,
        help=summary,
        description=summary[0].upper() + summary[1:] + ".",
        epilog=f"example:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-o",
        "--output",
        dest="format",
        type=str.lower,
        choices=FORMATS,
        metavar="FORMAT",
        help=f"print the result as {', '.join(FORMATS)} (default: json)",
    )
    parser.add_argument("--query", metavar="JMESPATH", help="print this part of the result")
    parser.add_argument("--debug", action="store_true", help="show where in Gristmill an error comes from")
    add_azure_options(parser)
    parser.set_defaults(command=run)
    return parser


def add_azure_options(parser: argparse.ArgumentParser) -> None:
    """Add what every `az ml` command takes."""
    more = parser.add_argument_group("taken as az takes them")
    more.add_argument("-g", "--resource-group", metavar="NAME", help="nothing follows from it")
    more.add_argument("-w", "--workspace-name", metavar="NAME", help="nothing follows from it")
    more.add_argument("--subscription", metavar="NAME", help="nothing follows from it")
    more.add_argument("--only-show-errors", action="store_true", help="no notes on stderr")
    more.add_argument("--verbose", action="store_true", help="nothing follows from it")


def add_no_wait(parser: argparse.ArgumentParser) -> None:
    """Add `--no-wait`: a server's changes are done when it answers, so there is nothing to wait for."""
    parser.add_argument("--no-wait", action="store_true", help="nothing follows from it: changes are done at once")


def add_name(parser: argparse.ArgumentParser, what: str, *, required: bool = True) -> None:
    """Add `-n/--name`."""
    parser.add_argument("-n", "--name", metavar="NAME", required=required, help=f"the {what}")


def add_file(parser: argparse.ArgumentParser, what: str, *, required: bool = False) -> None:
    """Add `-f/--file`."""
    parser.add_argument("-f", "--file", metavar="FILE", required=required, help=f"YAML file of the {what}")


def add_set(parser: argparse.ArgumentParser) -> None:
    """Add `--set`."""
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="change a key, dots between keys: tags.owner=me",
    )


def add_edits(parser: argparse.ArgumentParser) -> None:
    """Add what changes a document that is there: `--set`, `--add`, `--remove`, `--force-string`."""
    add_set(parser)
    lists: dict[str, Any] = {"nargs": "+", "action": "append", "default": []}
    parser.add_argument("--add", **lists, metavar="PATH VALUE", help="add to a list or a mapping: --add tags owner=me")
    parser.add_argument("--remove", **lists, metavar="PATH", help="remove a key or, with its number, a list's entry")
    parser.add_argument("--force-string", action="store_true", help="take the values of --set and --add as texts")


def edits_of(options: argparse.Namespace) -> Edits:
    """Return what `add_edits` read."""
    return Edits(put=options.set, add=options.add, remove=options.remove, force_string=options.force_string)


def add_yes(parser: argparse.ArgumentParser) -> None:
    """Add `-y/--yes`."""
    parser.add_argument("-y", "--yes", action="store_true", help="do not ask")


def add_tags(parser: argparse.ArgumentParser, *short: str) -> None:
    """Add `--description`, with a short form if az has one there, and `--tags`."""
    parser.add_argument(*short, "--description", metavar="TEXT", help="what it is")
    parser.add_argument("--tags", nargs="*", metavar="KEY=VALUE", help="tags")
