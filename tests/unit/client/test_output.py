from __future__ import annotations

import json
from typing import Any

import pytest

from gristmill.cli.output import FORMATS, print_result, render, select
from gristmill.errors import Mistake

JOB = {"name": "j-1", "status": "Completed", "items": {"in": 3}, "tags": ["a", "b"], "ok": True, "error": None}


@pytest.mark.parametrize("form", ["json", "jsonc"])
def test_json_comes_back_as_it_was(form: str) -> None:
    assert json.loads(render(JOB, form)) == JOB


def test_json_keeps_letters_of_every_language() -> None:
    assert "数字" in render({"name": "数字"}, "json")


def test_yaml_keeps_the_order_and_needs_no_marks() -> None:
    assert render({"b": 1, "a": ["x"]}, "yaml") == "b: 1\na:\n- x\n"
    assert render("j-1", "yaml") == "j-1\n"


@pytest.mark.parametrize(
    ("document", "text"),
    [
        ("j-1", "j-1\n"),
        (3, "3\n"),
        (True, "true\n"),
        (None, "\n"),
        (["a", "b"], "a\nb\n"),
        ([["a", 1], ["b", 2]], "a\t1\nb\t2\n"),
        ([{"n": "a", "v": 1}, {"n": "b", "v": False}], "a\t1\nb\tfalse\n"),
        (JOB, "j-1\tCompleted\t\t2\ttrue\t\n"),
        ("two\nlines", "two lines\n"),
        ([], ""),
    ],
)
def test_tsv_is_a_line_a_row_and_a_tab_between_values(document: Any, text: str) -> None:
    assert render(document, "tsv") == text


def test_a_table_has_titles_and_leaves_out_what_is_nested() -> None:
    lines = render([JOB, {"name": "a-longer-name", "status": "Failed"}], "table").splitlines()

    assert lines == [
        "Name           Status     Ok    Error",
        "-------------  ---------  ----  -----",
        "j-1            Completed  true",
        "a-longer-name  Failed",
    ]


@pytest.mark.parametrize(("document", "text"), [("x", "Result\n------\nx\n"), ([], "")])
def test_a_table_of_something_bare(document: Any, text: str) -> None:
    assert render(document, "table") == text


def test_none_prints_nothing() -> None:
    assert render(JOB, "none") == ""


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_renders_every_kind_of_document(form: str) -> None:
    for document in (JOB, [JOB], [], {}, "x", 1, None, [1, [2]], [{"a": {"b": 1}}]):
        assert isinstance(render(document, form), str)


@pytest.mark.parametrize(
    ("query", "found"), [("name", "j-1"), ("items.in", 3), ("{N: name}", {"N": "j-1"}), ("none", None), (None, JOB)]
)
def test_a_query_is_jmespath(query: str | None, found: Any) -> None:
    assert select(JOB, query) == found


@pytest.mark.parametrize("query", ["[", "name |", "length(`1`)", ""])
def test_a_query_that_cannot_be_used_is_refused_in_one_line(query: str) -> None:
    with pytest.raises(Mistake, match="--query") as caught:
        select(JOB, query)
    assert "\n" not in caught.value.message


def test_a_bare_name_for_scripts(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(JOB, "tsv", "name")

    assert capsys.readouterr().out == "j-1\n"


def test_a_query_without_a_format_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(JOB, None, "name")

    assert capsys.readouterr().out == '"j-1"\n'


def test_jsonc_is_in_colours_on_a_terminal(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    print_result({"a": 1}, "jsonc", None)

    assert "\x1b[" in capsys.readouterr().out
