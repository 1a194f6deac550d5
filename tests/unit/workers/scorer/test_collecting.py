"""Garbage is looked for seldom while a model is loaded, and as before afterwards."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from gristmill_workers.scorer.collecting import SELDOM, seldom


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_the_measure_is_another_within_and_the_same_afterwards() -> None:
    gc.set_threshold(600, 9, 8)
    with seldom():
        assert gc.get_threshold() == SELDOM
    assert gc.get_threshold() == (600, 9, 8)


def test_it_is_put_back_after_an_error() -> None:
    gc.set_threshold(600, 9, 8)
    with pytest.raises(KeyError), seldom():
        raise KeyError
    assert gc.get_threshold() == (600, 9, 8)


def test_a_measure_that_a_model_sets_stays() -> None:
    with seldom():
        gc.set_threshold(123, 4, 5)
    assert gc.get_threshold() == (123, 4, 5)


def test_who_looks_for_none_looks_for_none() -> None:
    gc.set_threshold(0, 9, 8)
    with seldom():
        assert gc.get_threshold()[0] == 0
    assert gc.get_threshold() == (0, 9, 8)
