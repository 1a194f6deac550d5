from __future__ import annotations

import pytest

from gristmill_workers.scorer import faults
from gristmill_workers.scorer.formats import Unencodable
from gristmill_workers.scorer.returned import WrongReturnType, count, is_a


def raised(error: BaseException) -> BaseException:
    with pytest.raises(type(error)) as caught:
        raise error
    return caught.value


def test_a_message_names_the_class() -> None:
    assert faults.message(ValueError("bad")) == "ValueError: bad"
    assert faults.message(SystemExit()) == "SystemExit"


def test_a_message_survives_an_error_without_text() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("worse")

    assert faults.message(Mute()) == "Mute: <its str() failed: RuntimeError>"


def test_a_message_is_cut() -> None:
    assert len(faults.message(ValueError("x" * 100_000))) == faults.MESSAGE_LIMIT + 4


def test_a_traceback_is_cut_in_its_middle() -> None:
    text = faults.trace(raised(ValueError("x" * 100_000 + "end")))

    assert text.startswith("Traceback")
    assert text.endswith("end\n")
    assert "characters left out" in text
    assert len(text) < faults.TRACEBACK_LIMIT + 100


def test_an_error_that_cannot_be_printed_still_has_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(faults.traceback, "format_exception", fail)

    assert faults.trace(ValueError("bad")) == "ValueError: bad\n"


@pytest.mark.parametrize(
    ("error", "category", "final"),
    [
        (ValueError("bad"), "exception", False),
        (WrongReturnType(None), "return_type", False),
        (Unencodable("element 3", "why"), "encoding", True),
        (Unencodable("all of it", OSError("disk full"), final=False), "encoding", False),
    ],
)
def test_errors_have_categories(error: BaseException, category: str, final: bool) -> None:
    found = faults.as_error(raised(error))

    assert (found["file"], found["category"], found["final"]) == (None, category, final)
    assert bool(found["traceback"]) == (category == "exception")


def test_missing_results_are_counted() -> None:
    error = faults.missing_results(7, 10)

    assert error["message"] == "run() returned 7 results for 10 files: 3 files count as failed"
    assert faults.missing_results(9, 10)["message"].endswith("1 file counts as failed")


class Frame:
    def __len__(self) -> int:
        return 3


@pytest.mark.parametrize("result", [Frame(), range(3), iter([]), b"abc", 1.5, {1}, {"a": 1}])
def test_a_length_alone_makes_no_result(result: object) -> None:
    with pytest.raises(WrongReturnType, match="The actual type of output is "):
        count(result)


def test_an_array_without_length_is_no_result() -> None:
    import numpy as np

    with pytest.raises(WrongReturnType, match="ndarray"):
        count(np.array(3))
    assert count(np.array([3])) == 1


def test_nothing_is_loaded_to_find_a_type() -> None:
    assert not is_a(1, "a_module_nobody_has", "Thing")
    assert not is_a(1, "sys", "maxsize", "no_such_name")
