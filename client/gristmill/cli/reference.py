"""The reference page of the server's commands, made from the parser.

`python -m gristmill.cli.reference > docs/reference/server-commands.md` writes it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from importlib import resources
from typing import Any, Final

from gristmill.cli.commands import SERVER_COMMANDS
from gristmill.cli.main import Parser

#: Options that the introduction explains.
_OF_ALL: Final = frozenset(
    {
        "help",
        "format",
        "query",
        "debug",
        "resource_group",
        "workspace_name",
        "subscription",
        "only_show_errors",
        "verbose",
    }
)

#: Why nobody types the examples as they stand.
_REASON: Final = "needs files and names of one's own; a test lets each command read its examples"


def page() -> str:
    """Return the page as Markdown: an introduction, then one section a command."""
    introduction = resources.files("gristmill.cli").joinpath("reference.md").read_text(encoding="utf-8")
    root = Parser(prog="gristmill")
    commands = root.add_subparsers()
    for module in SERVER_COMMANDS:
        module.add(commands)
    return "\n\n".join([introduction.strip(), *_sections(commands, "##")]) + "\n"


def _sections(commands: Any, head: str) -> Iterator[str]:
    choices: Mapping[str, argparse.ArgumentParser] = commands.choices
    for parser in choices.values():
        below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001
        lines = [f"{head} `{parser.prog}`", parser.description or ""]
        yield "\n\n".join([*lines, *([] if below else _details(parser))])
        for action in below:
            yield from _sections(action, head + "#")


def _details(parser: argparse.ArgumentParser) -> Iterator[str]:
    actions = [action for action in parser._actions if action.dest not in _OF_ALL]  # noqa: SLF001
    if actions:
        yield "\n".join(["| option | meaning |", "| --- | --- |", *map(_row, actions)])
    _, _, example = (parser.epilog or "").partition("\n")
    lines = [f"$ {line.strip()}" for line in example.strip().splitlines()]
    yield "\n".join([f"<!-- not run: {_REASON} -->", "```console", *lines, "```"])


def _row(action: argparse.Action) -> str:
    names = ", ".join(f"`{name}`" for name in action.option_strings) or f"`{action.metavar}`"
    value = f" {action.metavar}" if action.option_strings and action.nargs != 0 and action.metavar else ""
    many = " ..." if action.nargs in {"+", "*"} else ""
    required = " (required)" if action.required and action.option_strings else ""
    text = (action.help or "").replace("|", "\\|")
    return f"| {names}{value}{many} | {text}{required} |"


if __name__ == "__main__":
    sys.stdout.write(page())
