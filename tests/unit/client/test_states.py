from __future__ import annotations

from gristmill.states import Category, JobStatus


def test_a_status_is_azures_word() -> None:
    assert f"{JobStatus.CANCEL_REQUESTED}" == "CancelRequested"


def test_three_states_are_terminal() -> None:
    assert [status for status in JobStatus if status.terminal] == ["Completed", "Failed", "Canceled"]


def test_a_category_is_its_word() -> None:
    assert Category("return_type") is Category.RETURN_TYPE
