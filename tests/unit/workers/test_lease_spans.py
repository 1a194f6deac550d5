from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from gristmill.spans import Attributes, Kind, Span
from gristmill_storage.ledger import Entry
from gristmill_storage.parts import Block
from gristmill_workers.lease_spans import LINKED, REMEMBERED, LeaseSpans, lease_spans
from gristmill_workers.work import Work


@dataclass
class Made:
    name: str
    traceparent: str
    parent: str
    links: tuple[str, ...]
    began: int | None
    attributes: dict[str, Any]
    events: list[tuple[str, Any]] = field(default_factory=list)
    error: str | None = None
    ended: bool = False

    def put(self, attributes: Attributes) -> None:
        self.attributes.update(attributes)

    def event(self, name: str, attributes: Attributes) -> None:
        self.events.append((name, dict(attributes)))

    def fail(self, message: str) -> None:
        self.error = message

    def end(self) -> None:
        assert not self.ended
        self.ended = True


class Tracer:
    """Keeps the spans that it makes."""

    def __init__(self) -> None:
        self.made: list[Made] = []

    def begin(
        self,
        name: str,
        *,
        kind: Kind,
        parent: str,
        attributes: Attributes,
        links: Sequence[str] = (),
        began: int | None = None,
    ) -> Span:
        made = Made(name, f"span-{len(self.made)}", parent, tuple(links), began, dict(attributes))
        self.made.append(made)
        return made

    @contextmanager
    def within(self, span: Span) -> Iterator[object]:
        yield span

    def here(self) -> None:
        return None

    def close(self, seconds: float) -> None:
        pass

    def named(self, name: str) -> list[Made]:
        return [made for made in self.made if made.name == f"gristmill.{name}"]


@pytest.fixture
def tracer() -> Tracer:
    return Tracer()


@pytest.fixture
def spans(tracer: Tracer) -> LeaseSpans:
    return LeaseSpans(tracer, job="j", instance="i")


def works(*numbers: int, token: str = "t-1", attempt: int = 1) -> list[Work]:
    return [Work(number=number, attempt=attempt, token=token, items=(f"{number}.txt",)) for number in numbers]


def block(number: int, *, failed: int = 0) -> Block:
    return Block(
        mini_batch=number, attempt=1, items=2, succeeded=2 - failed, failed=failed, rows=2 - failed, seconds=0.5
    )


def entry(first: int, last: int, token: str) -> Entry:
    count = last - first + 1
    return Entry(token=token, first=first, last=last, items=count, succeeded=count, failed=0, rows=count, size=10)


def test_a_lease_is_two_spans_however_many_mini_batches_it_has(tracer: Tracer, spans: LeaseSpans) -> None:
    held = works(*range(1000))
    spans.leased(held, began=7)
    for work in held:
        spans.scored(work, block(work.number))

    (lease,), (run,) = tracer.named("lease"), tracer.named("run")
    assert len(tracer.made) == 2
    assert (lease.began, run.parent) == (7, lease.traceparent)
    assert lease.ended
    assert run.ended
    about = {key.removeprefix("gristmill."): value for key, value in run.attributes.items()}
    assert (about["mini_batch.first"], about["mini_batch.last"], about["mini_batch.count"]) == (0, 999, 1000)
    assert (about["items"], about["rows"], about["items.failed"], about["run_seconds"]) == (2000, 2000, 0, 500.0)


def test_a_range_lasts_until_all_of_it_is_decided_and_says_what_went_wrong(tracer: Tracer, spans: LeaseSpans) -> None:
    first, second, third = held = works(4, 5, 6)
    spans.leased(held, began=0)
    spans.scored(first, block(4, failed=1))
    spans.went_wrong(second, "exception", "x" * 5000)
    spans.returned([second])

    (run,) = tracer.named("run")
    assert not run.ended
    spans.returned([third])
    assert run.ended
    ((name, event),) = run.events
    assert (name, event["gristmill.mini_batch"], event["error.type"]) == ("gristmill.mini_batch.failed", 5, "exception")
    assert len(event["exception.message"]) == 1000
    assert run.attributes["gristmill.mini_batch.returned"] == 2
    assert (run.attributes["gristmill.items"], run.attributes["gristmill.items.failed"]) == (2, 1)


def test_what_is_unknown_or_comes_late_is_passed_over(tracer: Tracer, spans: LeaseSpans) -> None:
    (work,) = works(1)
    spans.scored(work, block(1))
    spans.went_wrong(work, "exception", "late")
    spans.returned([work])
    spans.close()

    assert tracer.made == []


def test_what_is_still_scored_ends_with_its_instance(tracer: Tracer, spans: LeaseSpans) -> None:
    spans.leased(works(1, 2), began=0)
    spans.close()

    (run,) = tracer.named("run")
    assert run.ended
    assert run.attributes["gristmill.mini_batch.undecided"] == 2


def test_a_commit_is_linked_to_what_was_scored(tracer: Tracer, spans: LeaseSpans) -> None:
    for number in range(3):
        spans.leased(works(number, token=f"t-{number}"), began=0)
    with spans.committing("part", [entry(0, 0, "t-0"), entry(2, 2, "t-2")]):
        pass

    (commit,) = tracer.named("commit")
    runs = tracer.named("run")
    assert commit.links == (runs[0].traceparent, runs[2].traceparent)
    assert commit.ended
    assert (commit.attributes["gristmill.part"], commit.attributes["gristmill.mini_batch.count"]) == ("part", 2)


def test_a_commit_that_fails_says_so(tracer: Tracer, spans: LeaseSpans) -> None:
    with pytest.raises(OSError, match="full"), spans.committing("part", [entry(0, 0, "t-0")]):
        raise OSError("full")

    (commit,) = tracer.named("commit")
    assert (commit.error, commit.ended) == ("OSError: full", True)


def test_links_and_what_is_remembered_for_them_are_bounded(tracer: Tracer, spans: LeaseSpans) -> None:
    many = REMEMBERED + 10
    for number in range(many):
        (work,) = works(number, token=f"t-{number}")
        spans.leased([work], began=0)
        spans.scored(work, block(number))
    with spans.committing("part", [entry(number, number, f"t-{number}") for number in range(many)]):
        pass

    assert len(tracer.named("commit")[0].links) == LINKED
    assert len(spans._ended) == REMEMBERED
    assert spans._ranges == {}


def test_there_are_none_where_no_traces_are_made() -> None:
    assert lease_spans("j", "i") is None
