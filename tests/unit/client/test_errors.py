from __future__ import annotations

import json
import re

import pytest

from gristmill import errors
from gristmill.errors import Fault, GristmillError, InvalidDeployment, JobFailed, Mistake, ThresholdExceeded


def tree() -> list[type[GristmillError]]:
    return [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, GristmillError)]


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_every_error_stands_in_the_picture_of_the_tree(kind: type[GristmillError]) -> None:
    assert re.search(rf"\b{kind.__name__}\b", errors.__doc__ or "")


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_every_error_crosses_a_process(kind: type[GristmillError]) -> None:
    document = {"class": kind.__name__, "message": "no room", "detail": "Traceback"}
    found = GristmillError.from_json(json.loads(json.dumps(document)))

    assert type(found) is kind
    assert found.to_json() == document
    assert str(found) == "no room"


def test_an_error_of_an_unknown_class_is_still_an_error() -> None:
    found = GristmillError.from_json({"class": "FromTheFuture", "message": "later"})

    assert (type(found), found.message, found.detail) == (GristmillError, "later", "")


@pytest.mark.parametrize(
    ("kind", "code"),
    [(GristmillError, 1), (Mistake, 2), (InvalidDeployment, 2), (JobFailed, 3), (ThresholdExceeded, 3),
     (errors.StorageFailed, 4), (errors.LedgerLost, 4), (errors.JobCanceled, 130)],
)  # fmt: skip
def test_exit_codes_tell_the_branches_apart(kind: type[GristmillError], code: int) -> None:
    assert kind.exit_code == code


def test_one_fault_of_a_deployment_is_one_line() -> None:
    error = InvalidDeployment("d.yml", (Fault(field="settings.mini_batch_size", message="0: give 1 or more", line=7),))

    assert str(error) == "d.yml: line 7: settings.mini_batch_size: 0: give 1 or more"


def test_many_faults_of_a_deployment_are_listed() -> None:
    error = InvalidDeployment("d.yml", (Fault(field="name", message="is missing"), Fault(field="", message="is empty")))

    assert str(error).splitlines() == ["d.yml: 2 faults", "  name: is missing", "  is empty"]
    assert len(error.faults) == 2


def test_a_missing_extra_says_how_to_get_it() -> None:
    assert str(errors.MissingExtra("reading s3://", "s3")).endswith("pip install 'gristmill[s3]'")
