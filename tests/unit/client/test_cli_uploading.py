"""Big uploads are told of on stderr, small ones are not."""

from __future__ import annotations

import io

import pytest

from gristmill.cli import server
from gristmill.cli.uploading import BIG, LINE_SECONDS, Uploading


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_big_upload_writes_a_line_now_and_then_where_nobody_looks() -> None:
    now, out = [0.0], io.StringIO()
    tell = Uploading(out, clock=lambda: now[0])
    for step in [*range(11), 10, 10]:
        tell(step * 10 * BIG // 100, BIG)
        now[0] += LINE_SECONDS / 4
    assert out.getvalue().splitlines() == [f"uploading: {n}% of 34 MB" for n in (0, 40, 80, 100)]


def test_a_bar_is_drawn_on_a_terminal_and_taken_away_for_each_upload() -> None:
    out = Terminal()
    tell = Uploading(out)
    for _ in range(2):
        for sent in (BIG // 2, BIG, BIG):
            tell(sent, BIG)
    assert out.getvalue().count("uploading") >= 2
    assert out.getvalue().endswith("\x1b[2K"), "it leaves the line as it was"
    assert tell._bar is None


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_a_small_upload_is_not_told_of(stream: io.StringIO) -> None:
    tell = Uploading(stream)
    for sent, size in ((0, 0), (BIG - 2, BIG - 1), (BIG - 1, BIG - 1)):
        tell(sent, size)
    assert stream.getvalue() == ""


def test_commands_tell_of_uploads_unless_only_errors_are_wanted() -> None:
    with server.connect("http://localhost:1", "x") as client:
        assert isinstance(client._uploads._progress, Uploading)
    quiet = server.quiet.set(True)
    with server.connect("http://localhost:1", "x") as client:
        assert client._uploads._progress is None
    server.quiet.reset(quiet)
