from __future__ import annotations

import os
import signal

import pytest

from gristmill.cli.interrupts import Interrupts


def test_a_signal_is_counted_and_raises_nothing() -> None:
    with Interrupts() as interrupts:
        assert interrupts.count() == 0
        os.kill(os.getpid(), signal.SIGTERM)
        assert interrupts.count() == 1
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.count() == 2

    assert interrupts.first == signal.SIGTERM


def test_a_second_signal_that_nobody_asked_about_breaks_through() -> None:
    with Interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_the_handlers_of_before_are_given_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupts():
        assert signal.getsignal(signal.SIGINT) != before[0]

    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
