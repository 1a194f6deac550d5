from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import gristmill
from gristmill import errors
from gristmill.cli import main as door
from gristmill.cli.main import EXIT_CODES, main, parser


def leaves(root: argparse.ArgumentParser, words: str = "gristmill") -> dict[str, argparse.ArgumentParser]:
    """Return every command's parser by its words."""
    found: dict[str, argparse.ArgumentParser] = {}
    for action in root._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                found |= leaves(below, f"{words} {word}")
    return found or {words: root}


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])

    assert caught.value.code == 0
    assert capsys.readouterr().out == f"gristmill {gristmill.__version__}\n"


PARSER = parser()
LEAVES = leaves(PARSER)


def test_help_shows_an_example_of_every_group() -> None:
    firsts = {" ".join(words.split()[:2]) for words in LEAVES}

    assert {first for first in firsts if f" {first} " not in f"{door.EXAMPLES} ".replace("\n", " ")} == set()


@pytest.mark.parametrize("words", LEAVES)
def test_help_of_a_command_shows_an_example_that_can_be_parsed(words: str) -> None:
    lines = (LEAVES[words].epilog or "").splitlines()[1:]

    assert lines
    for line in lines:
        assert f"{words} " in f"{line} "
        assert PARSER.parse_args(shlex.split(line.split("gristmill ", 1)[1])).command


@pytest.mark.parametrize("words", LEAVES)
def test_every_command_has_the_options_of_all(words: str) -> None:
    options = {text for action in LEAVES[words]._actions for text in action.option_strings}

    assert {"-o", "--query", "--debug", "--help"} <= options
    assert options & {"--format", "--output"}


def test_help_documents_every_exit_code_of_the_errors() -> None:
    codes = {
        str(value.exit_code)
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, errors.GristmillError)
    }

    assert codes | {"0", "130", "143"} == {line.split()[0] for line in EXIT_CODES.splitlines()[1:]}
    assert EXIT_CODES in parser().format_help()


def test_options_may_be_shortened(tmp_path: Path) -> None:
    options = parser().parse_args(["run", "d.yml", "--input", "i", "--out", "o", "--e", "model", "--mod", "m"])

    assert (options.output, options.env, options.model) == ("o", "model", "m")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: COMMAND"),
        (["run", "--input", "i"], "required: --output"),
        (
            ["run", "--input", "i", "--output", "o", "--colour"],
            "unrecognized arguments: --colour (see gristmill run --help)",
        ),
        (["job", "show", "scores", "extra"], "unrecognized arguments: extra (see gristmill job show --help)"),
        (["run", "--input", "i", "--output", "o", "-o", "xml"], "invalid choice: 'xml'"),
        (["node", "--compute", "c", "--slots", "0"], "give a number from 1 on"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    error = capsys.readouterr().err

    assert caught.value.code == 2
    assert words in error
    assert error.startswith("error: ")
    assert error.count("\n") == 1


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def resume(_: str) -> None:
        raise error

    monkeypatch.setattr("gristmill.api.resume", resume)


def test_an_error_is_one_line_and_its_exit_code(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, errors.JobNotFound("no job there"))

    assert main(["job", "resume", "x"]) == 2
    assert capsys.readouterr().err == "error: no job there\n"


def test_a_scripts_error_shows_the_scripts_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing(monkeypatch, errors.InitFailed("init() failed", detail="Traceback ...\nKeyError: 'x'\n"))

    assert main(["job", "resume", "x"]) == 3
    assert capsys.readouterr().err == "Traceback ...\nKeyError: 'x'\nerror: init() failed\n"


def test_a_fault_of_ours_is_one_line_too(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, ZeroDivisionError("oh"))

    assert main(["job", "resume", "x"]) == 1
    assert capsys.readouterr().err == "error: unexpected ZeroDivisionError: oh (--debug shows where)\n"


def test_debug_shows_our_own_traceback(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, errors.JobNotFound("no job there"))
    main(["job", "resume", "x", "--debug"])
    error = capsys.readouterr().err

    assert error.startswith("Traceback")
    assert error.endswith("error: no job there\n")


def test_an_interrupt_is_130(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyboardInterrupt())

    assert main(["job", "resume", "x"]) == 130
    assert capsys.readouterr().err == "error: interrupted\n"


def test_a_reader_that_left_is_no_error() -> None:
    code = """
import os, sys
from gristmill.cli import job_continue, main as door
def resume(path):
    raise BrokenPipeError
job_continue.api.resume = resume
sys.exit(door.main(["job", "resume", "x"]))
"""
    found = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)

    assert (found.returncode, found.stderr) == (141, b"")


@pytest.mark.parametrize("start", [["-m", "gristmill"], [str(Path(sys.executable).with_name("gristmill"))]])
def test_it_is_a_program_and_a_module(start: list[str]) -> None:
    command = [sys.executable, *start] if start[0] == "-m" else start
    if not Path(command[0]).exists():
        pytest.skip("the program is not installed")

    assert subprocess.check_output([*command, "--version"], text=True) == f"gristmill {gristmill.__version__}\n"


def test_help_needs_nothing_heavy() -> None:
    code = """
import sys
from gristmill.cli.main import parser
parser().format_help()
print(sorted({'yaml', 'httpx', 'rich', 'jmespath', 'celery', 'redis', 'gristmill.deployment'} & set(sys.modules)))
"""

    assert subprocess.check_output([sys.executable, "-c", code], text=True, env=dict(os.environ)) == "[]\n"


def test_a_job_waits_for_no_other_command() -> None:
    code = """
import sys
from gristmill.cli import main as door
door._options(["run", "d.yml", "--input", "x", "--output", "y"])
heavy = {'http.client', 'ssl', 'yaml', 'httpx', 'rich', 'gristmill.service', 'gristmill.cli.up', 'gristmill.cli.job'}
print(sorted(heavy & set(sys.modules)))
"""

    assert subprocess.check_output([sys.executable, "-c", code], text=True, env=dict(os.environ)) == "[]\n"


def test_a_command_is_the_same_alone_as_among_all() -> None:
    for name in door._ALONE:
        alone, among = (
            next(action for action in each._actions if isinstance(action, argparse._SubParsersAction)).choices[name]
            for each in (door.parser(name), PARSER)
        )
        assert alone.format_help() == among.format_help()


def test_the_examples_of_help_can_be_parsed() -> None:
    for line in door.EXAMPLES.splitlines()[1:]:
        words = line.split("gristmill ", 1)[1].split()
        assert PARSER.parse_args(words).command
