"""Warnings go to the log once, and disturb nobody else."""

from __future__ import annotations

import logging
import warnings

import pytest

from gristmill_workers.scorer.hush import Hush


@pytest.fixture
def hush(caplog):
    caplog.set_level(logging.INFO)
    return Hush(logging.getLogger("test.hush"))


def test_each_warning_is_logged_once_with_its_place(hush, caplog):
    for _ in range(3):
        with hush():
            warnings.warn("old", DeprecationWarning, stacklevel=1)
            warnings.warn("new", UserWarning, stacklevel=1)
    (old, new) = [record.getMessage() for record in caplog.records]
    assert old.endswith("DeprecationWarning: old")
    assert "test_hush.py:" in new


def test_outside_warnings_are_what_they_were(hush):
    with hush():
        pass
    with pytest.warns(UserWarning, match="mine"):
        warnings.warn("mine", UserWarning, stacklevel=1)


def test_a_library_says_each_message_once_but_every_error(hush):
    heard = []
    library = logging.getLogger("testlibrary")
    handler = logging.Handler()
    handler.emit = heard.append
    library.addHandler(handler)
    hush.say_once("testlibrary")
    for _ in range(2):
        library.warning("extra %s", "a")
        library.getChild("deep").warning("extra a")
        library.error("broken")
    handler.handle(logging.LogRecord("other", logging.INFO, "", 0, "extra a", None, None))
    assert [(r.name, r.getMessage()) for r in heard if r.levelno < logging.ERROR] == [
        ("testlibrary", "extra a"),
        ("testlibrary.deep", "extra a"),
        ("other", "extra a"),
    ]
    assert sum(r.levelno == logging.ERROR for r in heard) == 2
    library.removeHandler(handler)


def test_memory_of_messages_is_bounded(hush, monkeypatch):
    monkeypatch.setattr("gristmill_workers.scorer.hush._REMEMBERED", 2)
    assert [hush._is_new(text) for text in "abcabc"] == [True, True, True, False, False, True]
