"""Who rests on a node's bench, and who has to go."""

from __future__ import annotations

import threading
import time
from typing import Any, cast

import pytest

from gristmill.spec import Deployment, Input, Job, Output, Settings
from gristmill_workers import bench as bench_module
from gristmill_workers.bench import Bench
from gristmill_workers.crew import Crew

pytestmark = pytest.mark.skipif(not bench_module._PROCESSES.is_dir(), reason="scorers are kept where /proc shows them")


class Resting:
    """What the bench knows of a crew."""

    def __init__(self, key: str, seconds: float = 60) -> None:
        self.key = self.label = key
        self.seconds = seconds
        self.processes = {0: "scorer"}
        self.resting_since = time.monotonic()
        self.ended = False

    def muster(self) -> int:
        return 0

    def dismiss(self) -> None:
        pass

    def end(self) -> None:
        self.ended = True


def kept(bench: Bench, *keys: str) -> list[Resting]:
    """Have instances of these keys work one after the other, and leave their crews."""
    crews = [Resting(key) for key in keys]
    for crew in crews:
        with bench.place(crew.key) as found:
            assert found is None
            assert bench.keep(cast("Crew", crew))
    return crews


def taken(bench: Bench, key: str) -> Any:
    with bench.place(key) as found:
        return found


def test_a_crew_is_taken_by_its_key_once() -> None:
    bench = Bench(places=3, seconds=60)
    one, two = kept(bench, "a", "b")

    assert taken(bench, "b") is two
    assert taken(bench, "b") is None
    assert taken(bench, "") is None
    assert taken(bench, "a") is one


def test_who_has_rested_longest_goes_when_there_is_no_place() -> None:
    bench = Bench(places=2, seconds=60)
    one, two = kept(bench, "a", "b")
    with bench.place("c"):
        assert (one.ended, two.ended) == (True, False)
        with bench.place(""):
            assert two.ended


def test_a_free_place_costs_nobody_his() -> None:
    bench = Bench(places=2, seconds=60)
    (one,) = kept(bench, "a")
    with bench.place("c"):
        assert not one.ended


def waiting(bench: Bench, key: str, found: list[Any]) -> threading.Thread:
    """Have another thread wait for a crew of this key; return when it does."""
    thread = threading.Thread(target=lambda: found.append(taken(bench, key)), daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not bench._lock._waiters:  # type: ignore[attr-defined]
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return thread


def test_a_crew_that_comes_to_rest_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "COMING_SECONDS", 600)
    bench = Bench(places=2, seconds=60)
    crew, found = Resting("a"), list[Any]()
    with bench.coming("a"):
        thread = waiting(bench, "a", found)
        assert bench.keep(cast("Crew", crew))
    thread.join(30)
    assert found == [crew]


def test_one_that_does_not_come_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "COMING_SECONDS", 600)
    bench = Bench(places=2, seconds=60)
    found: list[Any] = []
    with bench.coming("a"):
        thread = waiting(bench, "a", found)
    thread.join(30)
    assert found == [None]


def test_one_that_takes_too_long_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_module, "COMING_SECONDS", 0.05)
    bench = Bench(places=2, seconds=60)
    with bench.coming("a"):
        assert taken(bench, "a") is None


def test_nobody_rests_on_a_bench_that_is_closed() -> None:
    bench = Bench(places=2, seconds=60)
    (one,) = kept(bench, "a")
    bench.close()
    bench.close()

    assert one.ended
    assert not bench.keep(cast("Crew", Resting("b")))
    assert bench.resting() == []


@pytest.mark.parametrize(
    ("node", "wanted", "seconds"), [(300, None, 300), (300, 60, 60), (300, 900, 300), (300, 0, 0), (0, 60, 0)]
)
def test_a_deployment_may_ask_for_less_than_the_node_gives(node: float, wanted: int | None, seconds: float) -> None:
    bench = Bench(places=1, seconds=node)
    deployment = Deployment(settings=Settings(keep_scorers_seconds=wanted))
    job = Job(name="j", deployment=deployment, input=Input(uri="/in"), output=Output(folder="/out"), kept_for="x")

    assert bench.seconds_of(job) == seconds
