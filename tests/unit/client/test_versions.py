from __future__ import annotations

import pytest

import gristmill
from gristmill import versions


@pytest.mark.parametrize(("theirs", "works"), [(5, False), (6, True), (7, True), (8, True), (9, False)])
def test_neighbours_work_together_and_no_others(theirs: int, works: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(versions, "PROTOCOL", 7)

    assert versions.works_with(theirs) is works
    assert (versions.refusal(theirs, "it", this="here", that="there") == "") is works


@pytest.mark.parametrize(("theirs", "older"), [(5, "there"), (9, "here")])
def test_a_refusal_names_both_numbers_and_who_is_to_be_upgraded(
    theirs: int, older: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "PROTOCOL", 7)

    told = versions.refusal(theirs, "a thing", this="here", that="there")

    version = gristmill.__version__
    assert told == f"a thing is of protocol {theirs}, and here (Gristmill {version}) speaks protocol 7: upgrade {older}"


@pytest.mark.parametrize("document", [{}, {"protocol": "9"}, {"protocol": None}, [], None, "x"])
def test_who_tells_no_protocol_is_from_before_they_were_told(document: object) -> None:
    assert versions.protocol_of(document) == versions.UNTOLD == 1


def test_a_protocol_that_is_told_is_believed() -> None:
    assert versions.protocol_of({"protocol": 12}) == 12
