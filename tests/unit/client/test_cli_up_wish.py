"""What the flags of `gristmill up` say."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from gristmill.cli.up_wish import add_wish, read_wish
from gristmill.errors import Mistake
from gristmill.local.service_wish import Wish


def wish(*words: str) -> Wish:
    parser = argparse.ArgumentParser()
    add_wish(parser)
    return read_wish(parser.parse_args(words), Path("/w"))


@pytest.mark.parametrize(("words", "seconds"), [([], None), (["--slice-seconds", "7.5"], 7.5)])
def test_how_long_a_turn_is_can_be_said(words: list[str], seconds: float | None) -> None:
    found = wish(*words)

    assert found.slice_seconds == seconds
    assert Wish.from_json(found.to_json()) == found
    arguments = found.scheduler_arguments(port=1, token_file=Path("t"))
    assert ("--slice-seconds" in arguments) == (seconds is not None)


@pytest.mark.parametrize("text", ["0", "nan", "soon", "86401"])
def test_a_turn_that_cannot_be_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        wish("--slice-seconds", text)

    assert f"'{text}': give a number of seconds from 1 to 86400" in capsys.readouterr().err


def test_a_folder_that_is_allowed_must_be_there() -> None:
    with pytest.raises(Mistake, match="--allow-root /nowhere: there is no such folder; make it, or give another"):
        wish("--allow-root", "/nowhere")
