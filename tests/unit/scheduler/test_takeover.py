from __future__ import annotations

from typing import Any

import pytest

from gristmill_scheduler import takeover as takeover_module
from gristmill_scheduler.admission import admit
from gristmill_scheduler.leadership import Leadership
from gristmill_scheduler.takeover import AGAIN_SECONDS, TakeOver
from gristmill_storage import job_folder
from gristmill_storage.ledger.memory import MemoryLedger


class World:
    """Jobs that were announced, and one scheduler that looks for them."""

    def __init__(self) -> None:
        self.ledger = MemoryLedger()
        self.begun: list[str] = []
        self.computes: list[str] = []
        self.led: set[str] = set()
        self.leads: list[Leadership] = []
        self.taker = TakeOver(self.ledger, lead=self._lead, led=lambda: self.led, begin=self._begin)

    def _lead(self, job: str) -> Leadership:
        return Leadership(job, self.ledger, seconds=30)

    def _begin(self, job: Any, folder: Any, lead: Leadership) -> None:
        self.begun.append(job.name)
        self.computes.append(job.deployment.compute)
        self.leads.append(lead)

    def is_free(self, job: str) -> bool:
        return self.ledger.lead(job, leader="somebody", seconds=0.01)


@pytest.fixture
def world():
    world = World()
    yield world
    for lead in world.leads:
        lead.stop()


@pytest.fixture
def folder(world, make_job):
    folder = admit(make_job(), environment={})
    world.ledger.announce("job-1", folder=folder.url)
    return folder


def test_a_job_that_nobody_leads_is_led(world, folder) -> None:
    world.taker.look()

    assert world.begun == ["job-1"]
    assert not world.is_free("job-1")


@pytest.mark.parametrize(
    ("noted", "compute"), [(b'{"compute": "other"}', "other"), (b"{", "c"), (b"[]", "c"), (b"{}", "c")]
)
def test_a_job_that_was_begun_again_elsewhere_is_led_there(world, folder, noted, compute) -> None:
    folder.create(job_folder.LEAD, noted)
    world.taker.look()

    assert world.computes == [compute]


def test_a_job_that_somebody_leads_is_left(world, folder) -> None:
    world.ledger.lead("job-1", leader="other", seconds=30)
    world.taker.look()

    assert world.begun == []


def test_a_job_that_is_led_here_is_left(world, folder) -> None:
    world.led.add("job-1")
    world.taker.look()

    assert world.begun == []


@pytest.mark.parametrize("known", [True, False])
def test_a_job_that_has_ended_is_announced_no_more(world, folder, known) -> None:
    if known:
        world.ledger.open("job-1", epoch="1", lease_seconds=30, error_threshold=-1)
        world.ledger.close("job-1", status="Completed")
        world.ledger.announce("job-1", folder=folder.url)
    folder.create(job_folder.RESULT, b'{"status": "Completed"}')
    world.taker.look()

    assert world.begun == []
    assert world.ledger.announced() == {}
    assert world.is_free("job-1")


def test_a_job_that_was_closed_without_a_result_is_led_to_its_end(world, folder) -> None:
    world.ledger.open("job-1", epoch="1", lease_seconds=30, error_threshold=-1)
    world.ledger.close("job-1", status="Failed")
    world.ledger.announce("job-1", folder=folder.url)
    world.taker.look()

    assert world.begun == ["job-1"]


def test_a_job_whose_folder_cannot_be_reached_is_left_to_others_for_a_while(world, tmp_path, monkeypatch) -> None:
    moments = [100.0]
    world.ledger.announce("job-2", folder=str(tmp_path / "not mounted"))
    world.ledger.open("job-2", epoch="1", lease_seconds=30, error_threshold=-1)
    world.taker.look()
    assert world.is_free("job-2")

    monkeypatch.setattr(takeover_module.time, "monotonic", lambda: moments[0])
    world.taker.look()
    moments[0] += 10 * AGAIN_SECONDS

    assert world.begun == []
    # Others may see the folder: nothing of the job is touched.
    assert world.ledger.announced() != {}
    assert world.ledger.snapshot("job-2").state == "open"
