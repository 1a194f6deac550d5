"""Every command and flag of `az ml` that scripts are made of is in the parser."""

from __future__ import annotations

import argparse

import pytest

from az_contract import COMMANDS, flags
from gristmill.cli.main import parser

PARSER = parser()


def found(command: str) -> argparse.ArgumentParser:
    parsed = PARSER
    for word in command.split():
        (below,) = (each for each in parsed._actions if isinstance(each, argparse._SubParsersAction))
        parsed = below.choices[word]
    return parsed


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_has_azs_flags_long_and_short(command: str) -> None:
    known = {option: action for action in found(command)._actions for option in action.option_strings}

    for forms in flags(command):
        assert forms <= known.keys(), f"{command} has no {' or '.join(forms - known.keys())}"
        assert len({id(known[form]) for form in forms}) == 1, f"{command}: {' and '.join(forms)} mean two things"
