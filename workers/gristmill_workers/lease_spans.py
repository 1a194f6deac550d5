"""The spans of an instance's leases: how long a range of mini-batches was leased, scored, and made durable.

A span a lease, never one a mini-batch: a lease is about half a second of work, so a job of a million short mini-batches
has a few thousand spans. What failed in a range stands in its span as events.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

from gristmill import tracing
from gristmill.spans import MOST_CHARACTERS, Attributes, Kind, Span, Tracer
from gristmill_storage.ledger import Entry
from gristmill_storage.parts import Block
from gristmill_workers.work import Work

#: Leases whose spans are remembered for the commit that follows, and linked to it at most.
REMEMBERED: Final = 512
LINKED: Final = 64


@dataclass
class _Range:
    """What is being scored of one lease."""

    span: Span
    #: Mini-batches that are not decided yet.
    left: int
    items: int = 0
    failed: int = 0
    rows: int = 0
    again: int = 0
    seconds: float = 0.0


def lease_spans(job: str, instance: str) -> LeaseSpans | None:
    """Return the spans of an instance's leases, which is in its own span now; None where no traces are made."""
    tracer = tracing.tracer()
    return None if tracer is None else LeaseSpans(tracer, job=job, instance=instance)


def committing(spans: LeaseSpans | None) -> Callable[[str, list[Entry]], AbstractContextManager[None]] | None:
    """Return what a commit is to be in; None where no traces are made."""
    return None if spans is None else spans.committing


class LeaseSpans:
    """Spans of one instance's leases. Its loop begins and ends them; `committing` is its committer's."""

    def __init__(self, tracer: Tracer, *, job: str, instance: str) -> None:
        """Take what makes spans, and whose these are."""
        self._tracer = tracer
        self._about: Attributes = {"gristmill.job": job, "gristmill.instance": instance}
        self._ranges: dict[str, _Range] = {}
        self._ended: OrderedDict[str, str] = OrderedDict()

    def leased(self, works: Sequence[Work], *, began: int) -> None:
        """Note a lease that was asked for at `began`, in nanoseconds after the epoch."""
        first = works[0]
        attributes: Attributes = {
            **self._about,
            "gristmill.lease": first.token,
            "gristmill.mini_batch.first": first.number,
            "gristmill.mini_batch.last": works[-1].number,
            "gristmill.mini_batch.count": len(works),
            "gristmill.attempt": first.attempt,
            "gristmill.copy": first.copy is not None,
        }
        lease = self._begin("gristmill.lease", "", attributes, began)
        lease.end()
        run = self._begin("gristmill.run", lease.traceparent, attributes)
        self._ranges[first.token] = _Range(span=run, left=len(works))
        self._ended[first.token] = run.traceparent
        if len(self._ended) > REMEMBERED:
            self._ended.popitem(last=False)

    def scored(self, work: Work, block: Block) -> None:
        """Note what became of a mini-batch in the end."""
        found = self._ranges.get(work.token)
        if found is not None:
            found.items += block.items
            found.failed += block.failed
            found.rows += block.rows
            found.seconds += block.seconds
            self._decide(work.token, found)

    def went_wrong(self, work: Work, category: str, message: str) -> None:
        """Note what went wrong in an attempt."""
        found = self._ranges.get(work.token)
        if found is not None:
            told = {"gristmill.mini_batch": work.number, "gristmill.attempt": work.attempt}
            error: Attributes = {"error.type": str(category), "exception.message": message[:MOST_CHARACTERS]}
            found.span.event("gristmill.mini_batch.failed", {**told, **error})

    def returned(self, works: Iterable[Work]) -> None:
        """Note that mini-batches are scored under another lease, or elsewhere."""
        for work in works:
            found = self._ranges.get(work.token)
            if found is not None:
                found.again += 1
                self._decide(work.token, found)

    @contextmanager
    def committing(self, part: str, entries: Sequence[Entry]) -> Iterator[None]:
        """Be in the span in which a part is made durable and told to the ledger."""
        tokens = list(dict.fromkeys(entry.token for entry in entries))
        links = [self._ended[token] for token in tokens[-LINKED:] if token in self._ended]
        attributes: Attributes = {
            **self._about,
            "gristmill.part": part,
            "gristmill.mini_batch.first": min(entry.first for entry in entries),
            "gristmill.mini_batch.last": max(entry.last for entry in entries),
            "gristmill.mini_batch.count": sum(entry.last - entry.first + 1 for entry in entries),
            "gristmill.items": sum(entry.items for entry in entries),
            "gristmill.bytes": sum(entry.size for entry in entries),
        }
        span = self._tracer.begin("gristmill.commit", kind=Kind.INTERNAL, parent="", attributes=attributes, links=links)
        try:
            with self._tracer.within(span):
                yield
        except BaseException as error:
            span.fail(f"{type(error).__name__}: {error}")
            raise
        finally:
            span.end()

    def close(self) -> None:
        """End what is still being scored: the instance leaves."""
        for token in list(self._ranges):
            self._end(token)

    def _begin(self, name: str, parent: str, attributes: Attributes, began: int | None = None) -> Span:
        return self._tracer.begin(name, kind=Kind.INTERNAL, parent=parent, attributes=attributes, began=began)

    def _decide(self, token: str, found: _Range) -> None:
        found.left -= 1
        if found.left <= 0:
            self._end(token)

    def _end(self, token: str) -> None:
        found = self._ranges.pop(token)
        found.span.put(
            {
                "gristmill.items": found.items,
                "gristmill.items.failed": found.failed,
                "gristmill.rows": found.rows,
                "gristmill.run_seconds": found.seconds,
                "gristmill.mini_batch.returned": found.again,
                "gristmill.mini_batch.undecided": max(0, found.left),
            }
        )
        found.span.end()
