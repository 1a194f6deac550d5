from __future__ import annotations

import threading
import time
from collections import deque
from pathlib import Path

import pytest

from gristmill.errors import NotFound
from gristmill.spec import Deployment, Input, Job, Output, Settings, Tuning
from gristmill.states import Category
from gristmill_storage.patience import Patience
from gristmill_workers import inputs as inputs_module
from gristmill_workers.inputs import FETCH_AHEAD, FetchedInputs, LocalInputs, open_inputs
from gristmill_workers.work import Failed, Work


def job_of(given: Input, prefetch: int | None = None) -> Job:
    deployment = Deployment(settings=Settings(tuning=Tuning(prefetch_items=prefetch)))
    return Job(name="j", deployment=deployment, input=given, output=Output(folder="/out"))


def work(number: int, *items: str) -> Work:
    return Work(number=number, attempt=1, token="t", items=items)


def test_items_of_this_machine_are_ready_as_they_are(tmp_path: Path) -> None:
    inputs = open_inputs(job_of(Input(uri=str(tmp_path))), tmp_path / "scratch", Patience(0))
    assert isinstance(inputs, LocalInputs)
    waiting: deque[Work] = deque()
    inputs.want([work(0, "a"), work(1, "b")])

    assert inputs.pending == 2
    assert inputs.ready(waiting) == []
    assert [one.number for one in waiting] == [0, 1]
    assert inputs.pending == 0


@pytest.mark.parametrize(("prefetch", "ahead"), [(None, FETCH_AHEAD), (0, 0), (7, 7)])
def test_as_much_is_fetched_ahead_as_the_settings_say(tmp_path: Path, prefetch: int | None, ahead: int) -> None:
    job = job_of(Input(uri="memory://ahead"), prefetch)
    assert open_inputs(job, tmp_path, Patience(0)).ahead == ahead


class Slow:
    """A remote store that answers when it is allowed to."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.under_way = 0

    def fetch(self, _store: object, item: str, folder: Path) -> Path:
        self.under_way += 1
        assert self.gate.wait(10)
        if item == "missing":
            raise NotFound("s3://box/missing: there is nothing under that path")
        path = folder / item
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(item)
        return path


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    slow = Slow()
    monkeypatch.setattr(inputs_module, "fetch", slow.fetch)
    monkeypatch.setattr(inputs_module, "input_store", lambda _given, **_: object())
    return slow


def wait_for(inputs: FetchedInputs, waiting: deque[Work]) -> list[Failed]:
    failed: list[Failed] = []
    deadline = time.monotonic() + 10
    while inputs.pending:
        assert time.monotonic() < deadline
        failed.extend(inputs.ready(waiting))
    return failed


def test_remote_items_are_fetched_side_by_side_and_handed_on_in_order(tmp_path: Path, slow: Slow) -> None:
    inputs = FetchedInputs(Input(uri="s3://box/in"), tmp_path, Patience(0))
    waiting: deque[Work] = deque()
    inputs.want([work(0, "a", "deep/b"), work(1, "c")])
    deadline = time.monotonic() + 10
    while slow.under_way < 3:
        assert time.monotonic() < deadline
    assert inputs.ready(waiting) == []
    slow.gate.set()

    assert wait_for(inputs, waiting) == []
    assert [one.number for one in waiting] == [0, 1]
    assert (tmp_path / "deep/b").read_text() == "deep/b"
    inputs.done(waiting[0])
    assert not (tmp_path / "deep/b").exists()
    inputs.close()


def test_an_item_that_cannot_be_fetched_fails_its_mini_batch_alone(tmp_path: Path, slow: Slow) -> None:
    slow.gate.set()
    inputs = FetchedInputs(Input(uri="s3://box/in"), tmp_path, Patience(0))
    waiting: deque[Work] = deque()
    inputs.want([work(0, "a", "missing"), work(1, "c")])

    (failed,) = wait_for(inputs, waiting)

    assert (failed.work.number, failed.category) == (0, Category.FETCH)
    assert "s3://box/missing" in failed.message
    assert [one.number for one in waiting] == [1]
    inputs.done(failed.work)
    assert not (tmp_path / "a").exists()
    inputs.close()


def test_a_name_that_can_be_none_here_has_a_place_of_its_own(tmp_path: Path, slow: Slow) -> None:
    slow.gate.set()
    long = "n" * 300
    inputs = FetchedInputs(Input(uri="s3://box/in"), tmp_path, Patience(0))
    inputs.close()
    waiting: deque[Work] = deque()
    inputs._fetching.append((work(0, "a", long), []))

    assert inputs.ready(waiting) == []
    assert waiting[0].items == ("a", long)
    assert waiting[0].places is not None
    assert waiting[0].command()["items"] == waiting[0].places
    assert all(len(place) < 256 for place in waiting[0].places)


def test_a_copy_stays_while_anyone_needs_it_and_is_fetched_once(tmp_path: Path, slow: Slow) -> None:
    slow.gate.set()
    inputs = FetchedInputs(Input(uri="s3://box/in"), tmp_path, Patience(0))
    waiting: deque[Work] = deque()
    whole = work(0, "a", "b")
    inputs.want([whole, work(1, "c")])
    wait_for(inputs, waiting)
    pieces = [whole._replace(items=(item,), piece=(n, n + 1)) for n, item in enumerate("ab")]
    inputs.want(pieces)
    wait_for(inputs, waiting)

    assert slow.under_way == 3
    assert [one.label for one in waiting][-2:] == ["0-1", "1-1"]  # pieces come first
    inputs.done(pieces[0])
    assert (tmp_path / "a").exists()
    inputs.done(whole)
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "b").exists()
    inputs.done(pieces[1])
    assert not (tmp_path / "b").exists()
    inputs.close()


def test_what_could_not_be_fetched_is_tried_again_for_the_piece_that_has_it_alone(tmp_path: Path, slow: Slow) -> None:
    slow.gate.set()
    inputs = FetchedInputs(Input(uri="s3://box/in"), tmp_path, Patience(0))
    waiting: deque[Work] = deque()
    whole = work(0, "a", "missing")
    inputs.want([whole])
    wait_for(inputs, waiting)
    inputs.want(whole._replace(items=(item,), piece=(n, n + 1)) for n, item in enumerate(whole.items))

    (failed,) = wait_for(inputs, waiting)

    assert failed.work.piece == (1, 2)
    assert [one.piece for one in waiting] == [(0, 1)]
    assert slow.under_way == 3
    inputs.close()


def test_what_is_not_there_yet_can_be_given_up(tmp_path: Path, slow: Slow) -> None:
    inputs = FetchedInputs(Input(uri="s3://box/in"), tmp_path, Patience(0))
    inputs.want([work(0, "a"), work(1, "b")])

    assert [one.number for one in inputs.give_up()] == [0, 1]
    assert inputs.pending == 0
    slow.gate.set()
    inputs.close()
