from __future__ import annotations

from gristmill_workers.scorer.formats import Format
from gristmill_workers.scorer.start import Start

FRAME = {"type": "start", "kind": "mlflow", "root": "/in", "output_dir": "/o", "staging_dir": "/s", "working_dir": "/w"}


def test_what_is_null_or_missing_takes_its_default() -> None:
    start = Start.from_frame({**FRAME, "code": None, "argv": None, "format": None})

    assert (start.code, start.argv, start.form, start.parent) == (None, (), Format(), 0)


def test_the_format_is_read() -> None:
    form = Start.from_frame({**FRAME, "format": {"kind": "csv", "header": True, "delimiter": ";", "later": 1}}).form

    assert form == Format("csv", header=True, delimiter=";")


def test_what_is_unknown_is_passed_over() -> None:
    assert Start.from_frame({**FRAME, "from_a_later_node": 1}).root == "/in"
