"""The coordinator with everything real but the nodes: instances are threads that lease and commit, without scoring."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from gristmill.errors import LedgerFailed, LedgerLost
from gristmill.spec import Job, own_compute
from gristmill_scheduler import reconciler as reconciler_module
from gristmill_scheduler.admission import admit, on_compute, read_led, readmit
from gristmill_scheduler.coordinator import Begin, Coordinator
from gristmill_scheduler.leadership import Leadership
from gristmill_scheduler.plan import Planner
from gristmill_scheduler.timeline import SCORED, Timeline
from gristmill_scheduler.wishes import Wishes
from gristmill_storage import job_folder
from gristmill_storage.files import Store
from gristmill_storage.ledger import Entry, Lease, Over
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.manifest import ManifestReader
from gristmill_storage.parts import Block, PartWriter, part_name
from gristmill_storage.queue import Message


class Nodes:
    """Answers a queue's messages with threads, until the test is over."""

    #: Those of the test that runs.
    alive: ClassVar[list[Nodes]] = []

    def __init__(self, ledger: MemoryLedger, folder: Store) -> None:
        self.ledger = ledger
        self.folder = folder
        self.scored: list[int] = []
        self.after: Callable[[int], None] = lambda _number: None
        self.aggregated: list[bool | str] = []
        self._count = 0
        self._over = threading.Event()
        self.threads: list[threading.Thread] = []
        self.alive.append(self)

    def take(self, kind: str, message: Message) -> None:
        self._count += 1
        work = self._instance if kind == "instance" else self._aggregate
        thread = threading.Thread(target=work, args=(message, f"{kind}{self._count}"))
        self.threads.append(thread)
        thread.start()

    def end(self) -> None:
        """Let those leave whose job goes on without a coordinator, and wait until all have left."""
        self._over.set()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()

    def _instance(self, message: Message, name: str) -> None:
        registration = self.ledger.register(message.job, instance=name, info={"role": "instance", "slot": message.slot})
        serial = 0
        while not isinstance(lease := self.ledger.lease(message.job, instance=name, limit=2), Over):
            if isinstance(lease, Lease):
                serial += 1
                self._commit(message.job, name, registration.epoch, lease, serial)
            elif self._over.wait(min(lease.seconds, 0.005)):
                break
        self.ledger.leave(message.job, instance=name)

    def _commit(self, job: str, name: str, epoch: str, lease: Lease, serial: int) -> None:
        part = part_name(epoch, lease.first, name, serial)
        writer = PartWriter(self.folder, part)
        count = lease.last - lease.first + 1
        for number in range(lease.first, lease.last + 1):
            writer.add(Block(mini_batch=number, attempt=1, items=10, succeeded=10, failed=0, rows=0, seconds=0.0), b"")
            self.scored.append(number)
        writer.seal()
        entry = Entry(
            token=lease.token,
            first=lease.first,
            last=lease.last,
            items=10 * count,
            succeeded=10 * count,
            failed=0,
            rows=0,
            size=0,
        )
        self.ledger.commit(job, instance=name, part=part, entries=[entry])
        self.after(lease.last)

    def _aggregate(self, message: Message, name: str) -> None:
        self.aggregated.append("partial" if message.partial else message.publish)
        status = "Canceled" if message.partial else "Completed" if message.publish else "Failed"
        self.folder.replace(job_folder.RESULT, json.dumps({"status": status, "output": "here"}).encode())
        self.ledger.close(message.job, status=status)


class Run:
    def __init__(self, job: Job, queue: Any, *, resume: bool = False) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.ledger = MemoryLedger()
        self.folder = readmit(job_folder.url(job.output.folder, job.name))[1] if resume else admit(job, environment={})
        self.nodes = Nodes(self.ledger, self.folder)

        def send(kind: str, message: Message) -> None:
            queue.take()
            self.nodes.take(kind, message)

        queue.on_send = send
        self._queue = queue
        self.coordinator = self._make(job)
        self._resume = resume

    def _make(self, job: Job) -> Coordinator:
        return Coordinator(
            job,
            self.folder,
            ledger=self.ledger,
            queue=self._queue,
            lead=Leadership(job.name, self.ledger, seconds=30),
            lease_seconds=30,
            tell=lambda event, document: self.events.append((event, document)),
        )

    def again(self) -> Coordinator:
        """Return another coordinator of the same job on the same ledger."""
        return self._make(self.coordinator.job)

    def live(self) -> dict[str, Any]:
        self.coordinator.run(Begin.RESUME if self._resume else Begin.NEW)
        if self.events[-1][0] == "taken_over":
            self.nodes.end()
        for thread in self.nodes.threads:
            thread.join(10)
        return self.events[-1][1]

    def statuses(self) -> list[str]:
        return [str(document["status"]) for event, document in self.events if event == "status"]


@pytest.fixture(autouse=True)
def _nodes_end() -> Iterator[None]:
    """One that asks for work without end would take it from all tests that come after."""
    yield
    while Nodes.alive:
        Nodes.alive.pop().end()


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_job_runs_from_queued_to_completed(make_job, queue) -> None:
    run = Run(make_job(count=95, instances=2), queue)

    finished = run.live()

    assert finished["status"] == "Completed"
    assert sorted(run.nodes.scored) == list(range(10))
    assert run.statuses()[0] == "Queued"
    assert run.statuses()[-1] == "Completed"
    assert run.nodes.aggregated == [True]
    timeline = json.loads(run.folder.read(job_folder.TIMELINE))
    assert set(timeline["moments"]) >= {"submitted", "opened", "planned", "scored"}


def test_a_job_stopped_by_its_instances_fails_with_their_error(make_job, queue) -> None:
    run = Run(make_job(), queue)
    error = {"class": "InitFailed", "message": "init() failed", "detail": "Traceback"}
    run.nodes.after = lambda _number: run.ledger.stop("job-1", state="stopped", error=error) and None

    finished = run.live()

    assert finished["status"] == "Failed"
    assert run.nodes.aggregated == [False]


def test_a_cancelled_job_is_resumed_and_nothing_is_scored_twice(make_job, queue) -> None:
    job = make_job(count=200)
    first = Run(job, queue)

    def cancel(_number: int) -> None:
        first.coordinator.cancel()
        wait_until(lambda: first.ledger.snapshot("job-1").state != "open")

    first.nodes.after = cancel
    assert first.live()["status"] == "Canceled"
    assert first.nodes.scored

    second = Run(job, queue, resume=True)
    finished = second.live()

    assert finished["status"] == "Completed"
    assert sorted(first.nodes.scored + second.nodes.scored) == list(range(20))


def test_a_job_that_ended_just_before_the_ledger_lost_its_memory_is_not_scored_again(make_job, queue) -> None:
    run = Run(make_job(count=50), queue)
    close = run.ledger.close

    def close_and_forget(job: str, *, status: str) -> None:
        close(job, status=status)
        run.ledger.forget(job)

    run.ledger.close = close_and_forget
    finished = run.live()

    assert finished["status"] == "Completed"
    assert sorted(run.nodes.scored) == [0, 1, 2, 3, 4]
    assert len(run.nodes.aggregated) == 1


def test_a_ledger_that_lost_its_memory_is_rebuilt(make_job, queue) -> None:
    run = Run(make_job(count=200), queue)
    lost = []

    def lose_once(number: int) -> None:
        if not lost:
            lost.append(number)
            run.ledger.forget("job-1")

    run.nodes.after = lose_once
    with_errors = threading.excepthook
    threading.excepthook = lambda _args: None  # the instance whose ledger is gone ends by LedgerLost
    try:
        finished = run.live()
    finally:
        threading.excepthook = with_errors

    assert lost
    assert finished["status"] == "Completed"
    assert sorted(run.nodes.scored) == list(range(20))


def test_a_listing_that_fails_fails_the_job(make_job, queue, monkeypatch) -> None:
    job = make_job()
    run = Run(job, queue)
    Path(job.input.uri).rename(Path(job.input.uri).with_name("gone"))

    finished = run.live()

    assert finished["status"] == "Failed"
    assert "in" in finished["error"]["message"]


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_plan_holds_every_item_once_in_order(make_job, queue, size) -> None:
    run = Run(make_job(count=50, mini_batch_size=size), queue)

    run.live()

    items = [item for mini_batch in ManifestReader(run.folder).mini_batches() for item in mini_batch.items]
    assert items == [f"{number:04d}.txt" for number in range(50)]


def test_a_wish_to_cancel_ends_the_job_and_names_who_wished(make_job, queue) -> None:
    run = Run(make_job(count=400), queue)

    def wish(_number: int) -> None:
        Wishes(run.folder).cancel(keep_partial=False, by="somebody")
        wait_until(lambda: run.ledger.snapshot("job-1").state != "open")

    run.nodes.after = wish
    finished = run.live()

    assert finished["status"] == "Canceled"
    assert finished["error"]["message"] == "job job-1 was cancelled by somebody"
    assert run.nodes.aggregated == []
    assert "CancelRequested" in run.statuses()


@pytest.mark.parametrize("way", ["wish", "command"])
def test_what_is_finished_of_a_cancelled_job_can_be_kept(make_job, queue, way) -> None:
    run = Run(make_job(count=400), queue)

    def cancel(_number: int) -> None:
        if way == "wish":
            Wishes(run.folder).cancel(keep_partial=True, by="")
        else:
            run.coordinator.cancel(keep_partial=True)
        wait_until(lambda: run.ledger.snapshot("job-1").state != "open")

    run.nodes.after = cancel
    finished = run.live()

    assert (finished["status"], finished["output"]) == ("Canceled", "here")
    assert run.nodes.aggregated == ["partial"]
    assert Wishes(run.folder).look().keep_partial


def test_a_job_that_only_is_to_publish_what_it_has_does_not_score(make_job, queue) -> None:
    job = make_job(count=400)
    first = Run(job, queue)

    def cancel(_number: int) -> None:
        first.coordinator.cancel()
        wait_until(lambda: first.ledger.snapshot("job-1").state != "open")

    first.nodes.after = cancel
    first.live()
    done = list(first.nodes.scored)

    second = Run(job, queue, resume=True)
    second.coordinator.cancel(keep_partial=True)
    finished = second.live()

    assert done
    assert (finished["status"], second.nodes.scored, second.nodes.aggregated) == ("Canceled", [], ["partial"])


def test_a_paused_job_begins_nothing_until_it_goes_on(make_job, queue) -> None:
    run = Run(make_job(count=400), queue)
    Wishes(run.folder).pause(paused=True)
    thread = threading.Thread(target=run.live)
    thread.start()
    wait_until(lambda: ("Queued", "paused") in [(d["status"], d["detail"]) for e, d in run.events if e == "status"])
    assert queue.sent == []

    run.coordinator.pause(paused=False)
    thread.join(20)

    assert run.events[-1][1]["status"] == "Completed"
    assert sorted(run.nodes.scored) == list(range(40))


def test_a_pause_outlives_the_ledgers_memory(make_job, queue) -> None:
    run = Run(make_job(count=400), queue)
    Wishes(run.folder).pause(paused=True)
    thread = threading.Thread(target=run.live)
    thread.start()
    wait_until(lambda: "paused" in [d["detail"] for e, d in run.events if e == "status"])
    run.ledger.forget("job-1")

    def paused_again() -> bool:
        try:
            return run.ledger.snapshot("job-1").paused
        except LedgerLost:
            return False

    wait_until(paused_again)
    Wishes(run.folder).pause(paused=False)
    thread.join(20)

    assert run.events[-1][1]["status"] == "Completed"


def test_a_resumed_job_has_no_old_wishes(make_job, queue) -> None:
    job = make_job()
    first = Run(job, queue)
    Wishes(first.folder).cancel(keep_partial=False, by="somebody")
    assert first.live()["status"] == "Canceled"

    assert Run(job, queue, resume=True).live()["status"] == "Completed"


def test_whoever_leads_a_resumed_job_next_finds_where_it_runs(make_job, queue) -> None:
    job = make_job()
    first = Run(job, queue)
    first.coordinator.cancel()
    first.live()
    assert read_led(first.folder.url)[0].deployment.compute == "c"

    Run(on_compute(job, "elsewhere"), queue, resume=True).live()

    assert read_led(first.folder.url)[0].deployment.compute == "elsewhere"


def test_a_job_that_was_completed_before_its_lead_was_free_is_not_begun_again(make_job, queue) -> None:
    job = make_job()
    run = Run(job, queue)
    run.folder.create(job_folder.RESULT, b'{"status": "Completed"}')
    run.coordinator.run(Begin.RESUME)

    assert [event for event, _ in run.events] == ["refused"]
    assert run.folder.exists(job_folder.RESULT)


def test_a_coordinator_that_lost_its_lead_ends_silently(make_job, queue, monkeypatch) -> None:
    run = Run(make_job(count=400), queue)

    def lose(_number: int) -> None:
        monkeypatch.setattr(run.ledger, "lead", lambda *_args, **_options: False)
        run.coordinator._lead._renewed = float("-inf")

    run.nodes.after = lose
    last = run.live()

    assert run.events[-1][0] == "taken_over"
    assert last == {"job": "job-1", "folder": run.folder.url}
    assert not run.folder.exists(job_folder.RESULT)
    assert run.ledger.snapshot("job-1").state in ("open", "scored")


def test_a_fault_after_the_lead_was_lost_ends_nobodys_job(make_job, queue, monkeypatch) -> None:
    job = make_job()
    run = Run(job, queue)
    Path(job.input.uri).rename(Path(job.input.uri).with_name("gone"))
    taken = []

    def lead(*_args: Any, **_options: Any) -> bool:
        taken.append(True)
        return len(taken) == 1

    monkeypatch.setattr(run.ledger, "lead", lead)
    run.live()

    assert run.events[-1][0] == "taken_over"
    assert run.ledger.snapshot("job-1").state == "open"
    assert not run.folder.exists(job_folder.RESULT)


def test_a_job_is_taken_where_the_other_coordinator_left_it(make_job, queue) -> None:
    run = Run(make_job(count=400), queue)
    run.nodes.after = lambda _number: run.coordinator.hand_over()
    assert run.live() == {"job": "job-1", "folder": run.folder.url}
    assert run.events[-1][0] == "handed_over"
    # A planner that ended between the manifest's chunk and the ledger: nothing of the plan is lost.
    before = len(run.nodes.scored)

    run.nodes.after = lambda _number: None
    run.again().run(Begin.TAKE)

    assert run.events[-1][1]["status"] == "Completed"
    assert sorted(run.nodes.scored) == list(range(40))
    assert len(run.nodes.scored) >= before
    assert run.nodes.aggregated == [True]


def test_a_plan_that_the_ledger_did_not_hear_of_is_told_when_the_job_is_taken(make_job, queue) -> None:
    job = make_job(count=50)
    run = Run(job, queue)
    planned = MemoryLedger()
    planned.open("job-1", epoch="1", lease_seconds=30, error_threshold=-1)
    planner = Planner(job, run.folder, planned)
    planner.start()
    wait_until(lambda: planned.snapshot("job-1").plan_closed)
    run.ledger.open("job-1", epoch="1", lease_seconds=30, error_threshold=-1)

    run.coordinator.run(Begin.TAKE)

    assert run.events[-1][1]["status"] == "Completed"
    assert sorted(run.nodes.scored) == list(range(5))


@pytest.fixture
def scored(make_job, queue) -> Run:
    """A job that was scored whole, and whose coordinator is gone."""
    run = Run(make_job(), queue)
    run.ledger.open("job-1", epoch="1", lease_seconds=30, error_threshold=-1)
    Planner(run.coordinator.job, run.folder, run.ledger)._plan()
    run.nodes._instance(Message(job="job-1", folder=run.folder.url), "earlier")
    assert run.ledger.snapshot("job-1").state == "scored"
    return run


def test_an_aggregator_that_nobody_came_to_ask_for_is_asked_for_at_once(scored, monkeypatch) -> None:
    monkeypatch.setattr(reconciler_module, "ARRIVAL_SECONDS", 30.0)
    began = time.monotonic()
    scored.coordinator.run(Begin.TAKE)

    assert scored.events[-1][1]["status"] == "Completed"
    assert time.monotonic() - began < 30


def test_a_job_whose_folder_was_removed_fails_and_does_not_wait_for_ever(make_job, queue, monkeypatch) -> None:
    monkeypatch.setattr(reconciler_module, "ARRIVAL_SECONDS", 0.05)
    run = Run(make_job(), queue)

    def lost(_kind: str, _message: Message) -> None:
        queue.take()  # by a node that finds no such job, and forgets it
        run.folder.delete(job_folder.SPEC)

    queue.on_send = lost
    error = run.live()["error"]

    assert (error["class"], run.statuses()[-1]) == ("JobNotFound", "Failed")
    assert f"{run.folder.url}: job.json is missing: the folder was removed or moved" in error["message"]


def test_a_scored_job_whose_folder_was_removed_fails_too(scored, queue, monkeypatch) -> None:
    monkeypatch.setattr(reconciler_module, "ARRIVAL_SECONDS", 0.05)
    scored.folder.delete(job_folder.SPEC)
    queue.on_send = lambda _kind, _message: queue.take()

    scored.coordinator.run(Begin.TAKE)

    assert scored.events[-1][1]["error"]["class"] == "JobNotFound"


def test_an_aggregator_that_was_asked_for_is_given_time_to_come(scored, monkeypatch) -> None:
    monkeypatch.setattr(reconciler_module, "ARRIVAL_SECONDS", 0.5)
    timeline = Timeline(1.0)
    timeline.note(SCORED)
    timeline.save(scored.folder, scored.ledger.snapshot("job-1"))
    began = time.monotonic()
    scored.coordinator.run(Begin.TAKE)

    assert scored.nodes.aggregated == [True]
    assert time.monotonic() - began >= 0.5


def test_a_job_that_ended_while_nobody_led_it_is_told_as_it_ended(make_job, queue) -> None:
    run = Run(make_job(), queue)
    run.live()
    count = len(run.nodes.scored)

    run.again().run(Begin.TAKE)

    assert run.events[-1][0] == "finished"
    assert run.events[-1][1]["status"] == "Completed"
    assert len(run.nodes.scored) == count


def test_the_end_that_only_the_ledger_knows_is_told(make_job, queue) -> None:
    run = Run(make_job(), queue)
    run.ledger.open("job-1", epoch="1", lease_seconds=30, error_threshold=-1)
    run.ledger.close("job-1", status="Failed", error={"class": "StorageFailed", "message": "no space left"})

    run.coordinator.run(Begin.TAKE)

    assert run.events[-1][1]["error"]["message"] == "no space left"


def test_a_job_of_a_cluster_is_announced_until_its_end(make_job, queue) -> None:
    run = Run(make_job(count=400), queue)
    seen = []
    run.nodes.after = lambda _number: seen.append(run.ledger.announced())
    run.live()

    assert seen[0] == {"job-1": run.folder.url}
    assert run.ledger.announced() == {}


def test_a_job_on_one_processs_own_nodes_is_not_announced(make_job, queue) -> None:
    run = Run(on_compute(make_job(), own_compute("job-1")), queue)
    queue.remove = lambda _compute: None
    seen = []
    run.nodes.after = lambda _number: seen.append(run.ledger.announced())
    run.live()

    assert seen[0] == {}


def test_an_unreachable_ledger_leaves_the_job_to_be_resumed_with_the_reason(make_job, queue, monkeypatch) -> None:
    run = Run(make_job(count=400), queue)
    error = LedgerFailed("the ledger at redis://somewhere cannot be used since 60 s: refused")
    error.__cause__ = ConnectionError("refused")

    def fail(_job: str) -> None:
        raise error

    monkeypatch.setattr(run.ledger, "snapshot", fail)
    finished = run.live()

    assert finished["status"] == "Failed"
    assert "cannot be used since 60 s" in finished["error"]["message"]
    monkeypatch.undo()
    assert Run(run.coordinator.job, queue, resume=True).live()["status"] == "Completed"
