"""The options that every command has."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from gristmill.cli.output import FORMATS


def command(
    commands: Any, name: str, *, summary: str, example: str, form: Sequence[str] = ("--format",)
) -> argparse.ArgumentParser:
    """Add a command with the options that every command has; return its parser.

    Args:
        commands: what `add_subparsers` returned.
        name: the command's word.
        summary: one sentence for `--help`.
        example: lines that show it.
        form: the long words for `-o`.

    """
    text = summary[0].upper() + summary[1:] + "."
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=text,
        epilog=f"example:\n{example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "-o",
        *form,
        dest="format",
        type=str.lower,
        choices=FORMATS,
        metavar="FORMAT",
        help=f"print the result as {', '.join(FORMATS)}",
    )
    parser.add_argument(
        "--query", metavar="JMESPATH", help="print this part of the result (as json, unless -o is given)"
    )
    parser.add_argument("--debug", action="store_true", help="show where in Gristmill an error comes from")
    return parser
