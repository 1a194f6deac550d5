"""The page of the HTTP API says what the routes say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gristmill_scheduler.http import reference
from gristmill_scheduler.http.gate import PUBLIC
from gristmill_scheduler.http.openapi import ROLE

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "http.md"


@pytest.fixture(scope="module")
def paths() -> dict[str, dict[str, dict[str, object]]]:
    return dict(reference.document()["paths"])


def test_the_page_is_made_from_the_openapi_document() -> None:
    assert PAGE.read_text() == reference.page(), "python -m gristmill_scheduler.http.reference writes it"


def test_every_route_says_who_may_ask(paths: dict[str, dict[str, dict[str, object]]]) -> None:
    silent = {path for path, ways in paths.items() for each in ways.values() if ROLE not in each}
    assert silent == set(PUBLIC) & set(paths)
    assert paths["/tokens"]["post"][ROLE] == "owner of all endpoints"
    assert paths["/batchEndpoints/{endpoint}/jobs"]["post"][ROLE] == "invoker"


def test_every_route_has_its_section_and_a_request_that_reaches_it(
    paths: dict[str, dict[str, dict[str, object]]],
) -> None:
    sections = re.split(r"^### ", PAGE.read_text(), flags=re.MULTILINE)[1:]
    assert len(sections) == sum(len(ways) for ways in paths.values())
    for section in sections:
        heading = re.match(r"`(\w+) (\S+)`", section)
        request = re.search(r'^\$ curl (.*) "\$URL(/\S*)"$', section, re.MULTILINE)
        assert heading is not None
        assert request is not None, section
        method, path = heading.groups()
        assert ("-X" not in request[1]) if method == "GET" else f"-X {method}" in request[1]
        assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", path), request[2]), section
