from __future__ import annotations

import re

import pytest

from gristmill.errors import Mistake
from gristmill.names import check_name, make_name


@pytest.mark.parametrize(
    ("stem", "start"),
    [("digits", "digits"), ("My digits: v1", "My-digits-v1"), ("..", "job"), ("数字", "job"), ("x" * 200, "x" * 77)],
)
def test_a_name_is_what_runs_when_and_a_random_end(stem: str, start: str) -> None:
    name = make_name(stem)

    assert re.fullmatch(rf"{re.escape(start)}-\d{{8}}-\d{{6}}-[0-9a-f]{{6}}", name)
    assert check_name(name) == name


def test_two_names_differ() -> None:
    assert make_name("a") != make_name("a")


@pytest.mark.parametrize("name", ["a", "A-1_b.c", "_x", "x" * 100])
def test_a_name_of_safe_letters_is_taken(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "a b", "x" * 101, "a\n", "é", "{a}"])
def test_a_name_that_no_folder_should_have_is_refused(name: str) -> None:
    with pytest.raises(Mistake, match="job name "):
        check_name(name)
