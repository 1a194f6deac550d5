"""The reference pages say what the code says."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import doc_blocks

from gristmill.cli import reference
from gristmill.cli.main import EXIT_CODES, parser
from gristmill.deployment.reference import page
from gristmill.settings import NAMES

PAGES = doc_blocks.ROOT / "docs" / "reference"
COMMAND_LINE = (PAGES / "command-line.md").read_text()
SERVER_COMMANDS = (PAGES / "server-commands.md").read_text()
BOTH = COMMAND_LINE + SERVER_COMMANDS


def commands(root: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Every command of a parser that has no commands below it."""
    below = [
        command
        for action in root._actions
        if isinstance(action, argparse._SubParsersAction)
        for command in action.choices.values()
    ]
    for command in below:
        yield from commands(command)
    if not below:
        yield root


def test_the_page_of_the_deployment_file_is_made_from_the_schema() -> None:
    assert (PAGES / "deployment.md").read_text() == page(), "python -m gristmill.deployment.reference writes it"


def test_the_page_of_the_servers_commands_is_made_from_the_parser() -> None:
    assert reference.page() == SERVER_COMMANDS, "python -m gristmill.cli.reference writes it"


def test_every_command_has_its_section() -> None:
    assert [c.prog for c in commands(parser()) if f"## `{c.prog}" not in BOTH] == []


def test_every_option_is_explained() -> None:
    options = {
        max(action.option_strings, key=len)
        for c in commands(parser())
        for action in c._actions
        if action.option_strings
    }

    assert len(options) > 10
    assert {option for option in options if f"`{option}" not in BOTH} == set()


def test_every_exit_code_is_explained() -> None:
    codes = dict(line.split(maxsplit=1) for line in EXIT_CODES.splitlines()[1:])

    assert {code for code, meaning in codes.items() if f"| {code} | {meaning} |" not in COMMAND_LINE} == set()


def test_every_environment_variable_is_explained_in_the_same_words() -> None:
    assert {name for name, text in NAMES.items() if f"| `{name}` | {text} |" not in COMMAND_LINE} == set()
