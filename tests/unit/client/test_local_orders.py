from __future__ import annotations

from gristmill.local.orders import Orders

SUBMIT = {"command": "submit", "job": {"name": "a"}}
CANCEL = {"command": "cancel", "job": "a"}
TAKE = {"command": "take", "folder": "/out/a", "compute": "here", "displace": "me"}


def test_before_the_job_came_to_be_all_is_told_again() -> None:
    orders = Orders("here")
    orders.told(SUBMIT)
    orders.told(CANCEL)
    orders.heard({"event": "ready"})

    assert orders.again() == [SUBMIT, CANCEL]


def test_a_job_that_came_to_be_is_taken_on_and_what_was_asked_of_it_stands() -> None:
    orders = Orders("here")
    orders.told(SUBMIT)
    orders.heard({"event": "submitted", "job": "a", "folder": "/out/a", "leader": "me"})
    orders.told(CANCEL)

    assert orders.again() == [TAKE, CANCEL]
    assert orders.again() == [TAKE, CANCEL]


def test_the_last_leader_is_the_one_to_displace() -> None:
    orders = Orders("here")
    orders.told(SUBMIT)
    for leader in ("first", "second"):
        orders.heard({"event": "submitted", "job": "a", "folder": "/out/a", "leader": leader})

    assert orders.again() == [{**TAKE, "displace": "second"}]
