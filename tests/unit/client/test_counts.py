from __future__ import annotations

import re
from pathlib import Path

import pytest

import gristmill
from gristmill.counts import counted

ROOT = Path(gristmill.__file__).parents[2]

#: Nouns that messages count.
NOUNS = "items|mini-batches|rows|files|scorers|kept scorers|attempts|nodes|jobs|faults|entries|results|predictions"

#: A number and its noun, as in "%d rows" or "{len(rows)} rows"; "2 of 3 rows" is a run of more, as a rule.
BARE = re.compile(rf"(?<!of )(?:%d|\{{(?:len\([^{{}}]*\)|[a-z_.]+)(?::,)?\}}) (?:{NOUNS})\b")

#: Where the number is a limit, or at least two.
PLURAL = (
    "more than {self._most_files} files",
    "{source}: {len(faults)} faults",
    "it has {count} attempts of",
    '"{key} items"',
    "{self._most_kills} scorers",
    "{len(sources)} mini-batches",
)


@pytest.mark.parametrize(
    ("number", "nouns", "text"),
    [
        (0, ("item",), "0 items"),
        (1, ("item",), "1 item"),
        (1, ("mini-batch",), "1 mini-batch"),
        (2000, ("mini-batch",), "2,000 mini-batches"),
        (2, ("process",), "2 processes"),
        (2, ("retry", "retries"), "2 retries"),
    ],
)
def test_a_number_agrees_with_its_noun(number: int, nouns: tuple[str, ...], text: str) -> None:
    assert counted(number, *nouns) == text


def excused(line: str) -> bool:
    return any(words in line for words in PLURAL)


@pytest.mark.parametrize("package", ["client", "storage", "workers", "scheduler"])
def test_no_message_says_1_items(package: str) -> None:
    lines = [(path, line) for path in (ROOT / package).rglob("*.py") for line in path.read_text("utf-8").splitlines()]
    assert lines

    bare = [(path.name, found.group()) for path, line in lines if (found := BARE.search(line)) and not excused(line)]

    assert bare == []
