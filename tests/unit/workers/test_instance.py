"""How an instance joins, ends a job that it cannot work for, and leaves; that it scores is shown by whole jobs."""

from __future__ import annotations

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gristmill.errors import Fenced, LedgerLost, ModelNotFound, OtherVersion, StorageFailed
from gristmill.settings import ProcessSettings
from gristmill.spec import Deployment, Input, Job, Output
from gristmill_storage.files import open_store
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.patience import Patience
from gristmill_storage.patient_store import patient
from gristmill_storage.tallies import Tallies
from gristmill_workers import instance as instance_module
from gristmill_workers.assignment import Assignment
from gristmill_workers.instance import Instance


@pytest.fixture
def ledger() -> MemoryLedger:
    ledger = MemoryLedger()
    ledger.open("j", epoch="1", lease_seconds=30, error_threshold=-1)
    return ledger


@pytest.fixture
def instance(tmp_path: Path, ledger: MemoryLedger) -> Instance:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    job = Job(
        name="j", deployment=Deployment(), input=Input(uri=str(tmp_path)), output=Output(folder=str(tmp_path / "out"))
    )
    return Instance(
        Assignment(
            job=job,
            folder=patient(open_store(str(tmp_path / "job")), Patience(10)),
            slot=0,
            ledger=ledger,
            settings=ProcessSettings.read({"GRISTMILL_SCRATCH": str(scratch), "GRISTMILL_NODE_NAME": "n"}),
            drain=threading.Event(),
            share=1,
        )
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [(ModelNotFound("model: nowhere"), "model: nowhere"), (ZeroDivisionError("by nought"), "ZeroDivisionError")],
)
def test_what_goes_wrong_before_scoring_ends_the_job_with_its_reason(
    instance, ledger, monkeypatch, error, words
) -> None:
    def prepare(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(instance_module, "prepare", prepare)

    instance.run()

    snapshot = ledger.snapshot("j")
    assert snapshot.state == "stopped"
    assert snapshot.error is not None
    assert words in snapshot.error["message"]
    assert snapshot.instances == []
    assert not list(instance._assignment.settings.scratch.iterdir())


def test_faults_of_storage_are_counted_with_what_else_the_instance_counts(instance, ledger, monkeypatch) -> None:
    counted = []
    faults = [StorageFailed("the disk is full")]
    faults[0].__cause__ = OSError(errno.ENOSPC, "full")

    @contextmanager
    def quarters(*_: Any) -> Iterator[Any]:
        yield SimpleNamespace(prepared=SimpleNamespace(python=SimpleNamespace(python="python")))

    def open_inputs(job: Any, scratch: Any, patience: Patience, *, tallies: Tallies) -> None:
        patience.call(lambda: faults and raised(faults.pop()))
        counted.append(tallies.take())
        raise ModelNotFound("far enough")

    monkeypatch.setattr(instance_module, "quarters", quarters)
    monkeypatch.setattr(instance_module, "open_inputs", open_inputs)
    instance.run()

    assert counted == ["storage:faults=1"]


def raised(error: Exception) -> None:
    raise error


def test_a_scratch_folder_that_is_not_there_ends_the_job_too(instance, ledger, tmp_path) -> None:
    (tmp_path / "scratch").rmdir()

    instance.run()

    snapshot = ledger.snapshot("j")
    assert snapshot.error is not None
    assert "FileNotFoundError" in snapshot.error["message"]
    assert snapshot.instances == []


def test_an_instance_that_was_given_up_leaves_the_job_to_others(instance, ledger, monkeypatch) -> None:
    def prepare(*_: Any, **__: Any) -> None:
        raise Fenced("taken")

    monkeypatch.setattr(instance_module, "prepare", prepare)

    instance.run()

    assert ledger.snapshot("j").state == "open"


def test_a_second_message_for_the_same_slot_starts_nothing(instance, ledger, monkeypatch) -> None:
    ledger.register("j", instance="a-0-first", info={"role": "instance", "slot": 0})
    monkeypatch.setattr(instance_module, "prepare", lambda *_, **__: pytest.fail("it must not begin"))

    instance.run()

    snapshot = ledger.snapshot("j")
    assert snapshot.state == "open"
    assert [one.name for one in snapshot.instances] == ["a-0-first"]


def test_a_job_that_is_over_is_left_alone(instance, ledger, monkeypatch) -> None:
    ledger.stop("j", state="canceled", error=None)
    monkeypatch.setattr(instance_module, "prepare", lambda *_, **__: pytest.fail("it must not begin"))

    instance.run()

    assert ledger.snapshot("j").instances == []


def test_a_ledger_that_forgot_the_job_is_told_of_it(instance, ledger, monkeypatch, tmp_path) -> None:
    def prepare(*_: Any, **__: Any) -> None:
        ledger.forget("j")
        raise LedgerLost("nothing is known of j")

    monkeypatch.setattr(instance_module, "prepare", prepare)

    instance.run()

    assert ledger.announced() == {"j": str(tmp_path / "job")}


def test_a_job_that_a_scheduler_of_another_version_took_over_is_left_and_goes_on(instance, ledger, monkeypatch) -> None:
    def prepare(*_: Any, **__: Any) -> None:
        raise OtherVersion("job j in the ledger is of protocol 9")

    monkeypatch.setattr(instance_module, "prepare", prepare)

    with pytest.raises(OtherVersion, match="protocol 9"):
        instance.run()
    found = ledger.snapshot("j")
    assert (found.state, found.error, found.instances) == ("open", None, [])


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("name", ["a", "zzz"])
@pytest.mark.parametrize(("later", "leaving"), [(0.5, False), (0.0, False), (0.5, True)])
def test_of_two_instances_in_one_slot_the_later_one_leaves_unless_the_first_does(
    instance, monkeypatch, name: str, later: float, leaving: bool
) -> None:
    clock = Clock()
    ledger = MemoryLedger(clock)
    ledger.open("j", epoch="1", lease_seconds=30, error_threshold=-1)
    worked = []
    first = Instance(replace(instance._assignment, ledger=ledger))
    second = Instance(replace(instance._assignment, ledger=ledger))
    first._name, second._name = "m", name

    def work_while_the_other_comes(*_: Any) -> None:
        worked.append("m")
        ledger.renew("j", instance="m", info={"role": "instance", "slot": 0, "leaving": leaving})
        clock.now += later
        monkeypatch.setattr(second, "_work", lambda *_: worked.append(name))
        second.run()

    monkeypatch.setattr(first, "_work", work_while_the_other_comes)
    first.run()

    assert worked == (["m", name] if leaving else ["m"])
