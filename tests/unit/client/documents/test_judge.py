"""Our verdict on every file of the judge's corpus is Azure's, except where a decision record says why not."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from gristmill import documents
from gristmill.errors import InvalidDocument
from judge.corpus import Case, cases, surround

ROOT = Path(__file__).parents[4]
VERDICTS: dict[str, str] = json.loads((ROOT / "tests" / "judge" / "verdicts.json").read_text(encoding="utf-8"))
RECORD = (ROOT / "docs" / "decisions" / "0019-where-we-differ-from-azures-loaders.md").read_text(encoding="utf-8")
CASES = {case.name: case for case in cases()}

READERS: Mapping[str, Callable[[Path], Any]] = {
    "endpoint": documents.load_endpoint,
    "deployment": documents.load_deployment_document,
    "model": documents.load_model,
    "data": documents.load_data,
    "environment": documents.load_environment,
    "compute": documents.load_compute,
    "datastore": documents.load_datastore,
}


def patterns(title: str) -> dict[str, str]:
    """Return the patterns of one of the record's tables, each with its reason."""
    _, _, rest = RECORD.partition(f"### {title}\n")
    table = rest.partition("\n#")[0]
    found = {}
    for row in re.findall(r"^\| (`.*`) \| (.+) \|$", table, re.MULTILINE):
        for pattern in re.findall(r"`([^`]+)`", row[0]):
            assert pattern not in found, f"{pattern} stands twice"
            found[pattern] = row[1]
    return found


STRICTER = patterns("Refused here, accepted by Azure's loaders")
LAXER = patterns("Accepted here, refused by Azure's loaders")


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    """Return whether we accept each file."""
    folder = tmp_path_factory.mktemp("judge")
    surround(folder)
    return {name: accepted(case, folder / "file.yml") for name, case in CASES.items()}


def accepted(case: Case, path: Path) -> bool:
    path.write_text(case.text, encoding="utf-8")
    try:
        READERS[case.kind](path)
    except InvalidDocument:
        return False
    return True


def matching(names: list[str], table: Mapping[str, str]) -> dict[str, list[str]]:
    return {pattern: [name for name in names if fnmatchcase(name, pattern)] for pattern in table}


def test_there_are_enough_files_of_every_kind():
    assert len(CASES) >= 150
    assert {case.kind for case in CASES.values()} == READERS.keys()


def test_azure_was_asked_about_every_file():
    assert VERDICTS.keys() == CASES.keys(), "make judge ARGS=--write"


def test_azures_verdicts_are_of_both_sorts_for_every_kind():
    for kind in READERS:
        verdicts = {text.partition(":")[0] for name, text in VERDICTS.items() if name.startswith(f"{kind}/")}
        assert verdicts == {"accepted", "refused"}


def test_every_difference_from_azure_has_its_reason(ours: dict[str, bool]):
    for table, differs in ((STRICTER, azure_alone(ours)), (LAXER, we_alone(ours))):
        explained = {name for names in matching(differs, table).values() for name in names}
        assert sorted(set(differs) - explained) == []


def test_every_reason_is_of_files_that_differ(ours: dict[str, bool]):
    for table, differs in ((STRICTER, azure_alone(ours)), (LAXER, we_alone(ours))):
        for pattern, names in matching(list(CASES), table).items():
            assert names, f"{pattern} is no file's name"
            assert sorted(set(names) - set(differs)) == [], f"{pattern} names files that do not differ"


def azure_alone(ours: dict[str, bool]) -> list[str]:
    return [name for name, verdict in VERDICTS.items() if verdict == "accepted" and not ours[name]]


def we_alone(ours: dict[str, bool]) -> list[str]:
    return [name for name, verdict in VERDICTS.items() if verdict != "accepted" and ours[name]]
