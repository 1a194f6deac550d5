"""A pool of real scorers."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gristmill.states import Category
from gristmill_workers import pool as pool_module
from gristmill_workers.pool import Pool
from gristmill_workers.scorer_process import Launch
from gristmill_workers.work import Event, Failed, InitFailure, Ready, Scored, Work


class Bench:
    """Launches scorers of a script."""

    def __init__(self, folder: Path, script: str) -> None:
        self.folder = folder
        (folder / "score.py").write_text(textwrap.dedent(script))
        self.launched = 0

    def launch(self, _place: int) -> Launch:
        self.launched += 1
        folder = self.folder / f"process{self.launched:03d}"
        (folder / "output").mkdir(parents=True)
        return Launch(
            python=Path(sys.executable),
            variables=dict(os.environ),
            start={
                "type": "start",
                "kind": "script",
                "code": str(self.folder),
                "script": "score.py",
                "root": "/in",
                "output_dir": str(folder / "output"),
                "staging_dir": str(self.folder / "staging"),
                "log_dir": str(self.folder / "logs"),
                "node": "n",
                "process": folder.name,
                "logging_level": "info",
                "format": {"kind": "text", "header": False, "delimiter": " "},
                "argv": [],
                "working_dir": str(folder),
                "parent": os.getpid(),
            },
            folder=folder,
            stdout=folder / "stdout.txt",
            stderr=folder / "stderr.txt",
        )


@pytest.fixture
def make_pool(tmp_path: Path) -> Iterator[Callable[..., tuple[Pool, Bench]]]:
    pools: list[Pool] = []

    def make(
        script: str,
        places: int = 1,
        *,
        run_seconds: float = 30,
        init_seconds: float = 30,
        frames: int | None = None,
    ) -> tuple[Pool, Bench]:
        bench = Bench(tmp_path, script)
        pool = Pool(bench.launch, places, run_seconds=run_seconds, init_seconds=init_seconds, frames=frames)
        pools.append(pool)
        pool.start()
        return pool, bench

    yield make
    for pool in pools:
        pool.kill()


GOOD = """
    def init(): pass
    def run(mini_batch): return mini_batch
"""


def until(pool: Pool, holds: Callable[[list[Event]], object], seen: list[Event] | None = None) -> list[Event]:
    """Poll until the events so far satisfy."""
    events = [] if seen is None else seen
    deadline = time.monotonic() + 30
    while not holds(events):
        assert time.monotonic() < deadline, events
        events.extend(pool.poll(0.05))
    return events


def works(count: int) -> deque[Work]:
    return deque(Work(number=n, attempt=1, token="t", items=(f"{n}.txt",)) for n in range(count))


def score(pool: Pool, waiting: deque[Work], count: int) -> list[Event]:
    events: list[Event] = []
    deadline = time.monotonic() + 30
    while sum(isinstance(event, (Scored, Failed)) for event in events) < count:
        assert time.monotonic() < deadline, events
        pool.dispatch(waiting)
        events.extend(pool.poll(0.05))
        waiting.extendleft(reversed(pool.returned))
        pool.returned.clear()
    return events


@pytest.mark.parametrize(("frames", "held"), [(None, 1), (3, 3)])
def test_a_scorer_of_which_no_pace_is_known_is_given_a_mini_batch_a_frame(make_pool, frames, held) -> None:
    pool, _ = make_pool(GOOD, frames=frames)
    until(pool, lambda events: any(isinstance(event, Ready) for event in events))
    waiting = works(5)

    pool.dispatch(waiting)

    assert (pool.held, len(waiting)) == (held, 5 - held)


def test_every_mini_batch_is_answered_once_with_its_own_rows(make_pool) -> None:
    pool, _ = make_pool(GOOD, places=3)

    events = score(pool, works(2000), 2000)

    answers = [event for event in events if isinstance(event, Scored)]
    assert sorted(event.work.number for event in answers) == list(range(2000))
    assert all(event.data == f"/in/{event.work.number}.txt\n".encode() for event in answers)


def test_nothing_is_given_to_a_scorer_before_its_init_has_run(make_pool) -> None:
    pool, _ = make_pool(GOOD)
    waiting = works(3)
    pool.dispatch(waiting)
    assert len(waiting) == 3

    until(pool, lambda events: any(isinstance(event, Ready) for event in events))
    pool.dispatch(waiting)
    assert len(waiting) < 3


def test_a_scorer_that_dies_idle_is_replaced_and_blames_nobody(make_pool) -> None:
    pool, bench = make_pool(GOOD)
    until(pool, lambda _events: pool.ready == 1)

    os.kill(pool._places[0].process.pid, signal.SIGKILL)
    until(pool, lambda _events: bench.launched == 2 and pool.ready == 1)

    assert pool.idle_deaths == 1
    score(pool, works(1), 1)
    assert pool.idle_deaths == 0


def test_a_crash_fails_the_mini_batch_that_it_was_in_and_no_other(make_pool) -> None:
    pool, _ = make_pool("""
        import os

        def init(): pass

        def run(mini_batch):
            if mini_batch[0].endswith("/777.txt"):
                os._exit(5)
            return mini_batch
    """)

    events = score(pool, works(1000), 1000)

    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert (failed.work.number, failed.category) == (777, Category.CRASH)
    assert "exit code 5" in failed.message
    assert sum(isinstance(event, Scored) for event in events) == 999


def test_a_run_that_hangs_while_it_holds_the_interpreter_is_ended_with_its_stacks(make_pool) -> None:
    pool, bench = make_pool(
        """
        import re

        def init(): pass

        def run(mini_batch):
            if mini_batch[0].endswith("/1.txt"):
                re.match("(a+)+$", "a" * 60 + "b")  # holds the interpreter's lock, in C, for ages
            return mini_batch
        """,
        run_seconds=0.5,
    )

    events = score(pool, works(3), 3)

    (failed,) = [event for event in events if isinstance(event, Failed)]
    assert (failed.work.number, failed.category) == (1, Category.TIMEOUT)
    assert "score.py" in failed.traceback
    assert bench.launched == 2


def test_what_a_scorer_forked_ends_with_it(make_pool, tmp_path: Path) -> None:
    pool, _ = make_pool(
        f"""
        import os, subprocess, time

        def init(): pass

        def run(mini_batch):
            child = subprocess.Popen(["sleep", "600"])
            open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
            time.sleep(600)
        """,
        run_seconds=0.5,
    )

    score(pool, works(1), 1)

    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                break
        except OSError:
            break
    else:
        pytest.fail("the scorer's child outlived it")


def test_an_init_that_never_ends_is_told_with_its_stacks(make_pool) -> None:
    pool, _ = make_pool(
        "import time\ndef init(): time.sleep(600)\ndef run(mini_batch): return mini_batch\n",
        init_seconds=1,
    )

    (failure,) = until(pool, lambda events: events)

    assert isinstance(failure, InitFailure)
    assert "init() took longer than 1 s" in failure.message
    assert "score.py" in failure.traceback
    assert not failure.once_worked


def test_a_scorer_that_writes_nonsense_to_its_node_is_ended(make_pool) -> None:
    pool, _ = make_pool("""
        import os

        def init(): pass

        def run(mini_batch):
            if mini_batch[0].endswith("/2.txt"):
                for descriptor in range(3, 400):
                    try:
                        os.write(descriptor, b"X" * 64)
                    except OSError:
                        pass
            return mini_batch
    """)

    events = score(pool, works(4), 4)

    failed = [event.work.number for event in events if isinstance(event, Failed)]
    assert len(failed) <= 2  # the progress memory may be overwritten too: then the first that it held answers for it
    assert {event.work.number for event in events if isinstance(event, Scored)} | set(failed) == {0, 1, 2, 3}


def test_stop_lets_scorers_say_goodbye(make_pool) -> None:
    pool, bench = make_pool(GOOD + "    def shutdown(): print('goodbye', flush=True)\n")
    until(pool, lambda _events: pool.ready == 1)

    pool.stop()

    assert "goodbye" in (bench.folder / "process001" / "stdout.txt").read_text()


def piece(number: int, first: int) -> Work:
    return Work(number=number, attempt=1, token="t", items=(f"{number}-{first}.txt",), piece=(first, first + 1))


def test_pieces_of_one_mini_batch_are_never_in_one_scorer_at_once(make_pool) -> None:
    pool, _ = make_pool(GOOD, places=2)
    score(pool, works(200), 200)  # the pace is known, and scorers are given several at once
    waiting = deque([*(piece(500, n) for n in range(10)), *works(50)])

    answered: list[Event] = []
    deadline = time.monotonic() + 30
    while sum(isinstance(event, Scored) for event in answered) < 60:
        assert time.monotonic() < deadline
        pool.dispatch(waiting)
        for place in pool._places:
            assert len(place.held) <= 1 or not any(work.alone for work in place.held)
        answered.extend(pool.poll(0.05))

    assert sorted(event.work.label for event in answered if isinstance(event, Scored) and event.work.piece) == sorted(
        f"500-1-p{n}-{n + 1}" for n in range(10)
    )


def test_a_piece_does_not_change_the_pace(make_pool) -> None:
    pool, _ = make_pool(GOOD)
    score(pool, works(3), 3)
    pace = pool.pace

    score(pool, deque([piece(9, 0)]), 1)

    assert pool.pace == pace


def test_at_the_end_idle_scorers_may_shut_down_and_others_are_killed_at_once(make_pool, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(pool_module, "LEAVE_SECONDS", 60.0)
    pool, _ = make_pool(
        f"""
        import os, time

        def init(): pass

        def run(mini_batch):
            open({str(tmp_path / "begun")!r}, "w").close()
            time.sleep(600)

        def shutdown():
            open({str(tmp_path)!r} + f"/shut-{{os.getpid()}}", "w").close()
        """,
        places=2,
    )
    until(pool, lambda _events: pool.ready == 2)
    assert pool.free == 2
    pool.dispatch(works(1))
    until(pool, lambda _events: (tmp_path / "begun").exists())
    assert pool.free == 1
    began = time.monotonic()

    pool.stop()

    assert time.monotonic() - began < 30
    assert len(list(tmp_path.glob("shut-*"))) == 1


SLOW_AFTER_A_QUICK_ERROR = """
    import time

    def init(): pass

    def run(mini_batch):
        if mini_batch[0].endswith("/0.txt"):
            raise ValueError("at once")
        time.sleep(0.05)
        return mini_batch
"""


def test_the_pace_is_that_of_what_was_scored_not_of_what_failed_at_once(make_pool) -> None:
    pool, _ = make_pool(SLOW_AFTER_A_QUICK_ERROR)

    first = score(pool, works(1), 1)
    assert isinstance(first[-1], Scored)
    assert first[-1].result["outcome"] == "failed"
    assert pool.pace is None
    score(pool, deque(list(works(3))[1:]), 2)

    assert pool.pace is not None
    assert pool.pace > 0.04


def test_a_long_mini_batch_slows_the_pace_before_it_ends_where_all_scorers_are_at_such(make_pool) -> None:
    pool, _ = make_pool("""
        import time

        def init(): pass

        def run(mini_batch):
            if mini_batch[0].endswith("/9.txt"):
                time.sleep(20)
            return mini_batch
    """)
    score(pool, works(9), 9)
    assert pool.pace is not None
    assert pool.pace < 0.02

    pool.dispatch(deque(list(works(10))[9:]))
    until(pool, lambda _events: (pool.pace or 0.0) > 0.1)
