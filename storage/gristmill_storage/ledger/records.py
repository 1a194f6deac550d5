"""What goes into the ledger and what comes out of it, as plain frozen data.

Kept apart from the client so that a module can name these types without paying for a Redis driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gristmill_storage.part_format import Block

#: Mini-batches from the first to the last number, both included.
Range = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """One run of consecutive mini-batches in a part, with its counts."""

    #: The lease under which they were scored; "" in an entry that is adopted.
    token: str
    first: int
    last: int
    #: Items in them, scored or not.
    items: int
    succeeded: int
    #: Items that are in the output's errors: their last attempt failed.
    failed: int
    #: Rows that they add to the output.
    rows: int
    #: Bytes that they add to the output.
    size: int
    #: What else is counted of them, as `tallies.encode` writes it.
    tallies: str = ""

    @classmethod
    def of(cls, block: Block, token: str = "", tallies: str = "") -> Entry:
        """Return the entry of one mini-batch's outcome."""
        return cls(
            token=token,
            first=block.mini_batch,
            last=block.mini_batch,
            items=block.items,
            succeeded=block.succeeded,
            failed=block.failed,
            rows=block.rows,
            size=block.size,
            tallies=tallies,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """What an instance is told when it joins a job."""

    #: The ledger's life that it joined; part names and tokens begin with it.
    epoch: str
    #: Seconds without `renew` after which its work goes to others.
    lease_seconds: float
    #: The job's state; the instance was taken in unless this is "closed", or "full": the job has its share.
    state: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The right to score a range of mini-batches, until it is committed, failed, given back or lost."""

    #: Fencing token: "<epoch>-<n>", n grows with each lease of the job.
    token: str
    first: int
    last: int
    #: Attempts at this range that failed before, by `fail`.
    attempts: int
    #: Times that this range was lost with the instance that held it.
    losses: int
    #: Number of the first mini-batch of the manifest chunk that holds the range.
    chunk: int
    #: Whether another lease holds this mini-batch too, or did when this lease was made: the first commit wins.
    copy: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """Nothing can be leased now, but something may later."""

    #: When to ask again; more than 0, at most 1.
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Over:
    """Nothing will be leased any more."""

    #: "scored", "stopped", "canceled" or "closed".
    state: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Commit:
    """What became of a part's entries."""

    #: Ranges that count from this part, in the order of the entries given.
    accepted: list[Range]
    #: Ranges whose lease was gone, or held them in places only: what the part holds of them is never read.
    refused: list[Range]
    #: The job's state after the commit.
    state: str


@dataclass(frozen=True, kw_only=True, slots=True)
class InstanceInfo:
    """An instance that is alive."""

    name: str
    #: What it last said about itself, by `register` or `renew`.
    info: Mapping[str, Any]
    #: Seconds since it registered.
    alive_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """The whole state of a job at one moment. Counts of mini-batches unless said otherwise."""

    #: "open", "scored", "stopped", "canceled" or "closed".
    state: str
    #: Why the job was stopped, as `GristmillError.to_json` gives it.
    error: Mapping[str, Any] | None
    epoch: str
    #: In the manifest so far.
    planned: int
    #: Whether the manifest is complete.
    plan_closed: bool
    #: Items in the manifest so far.
    items_planned: int
    #: Bytes of input in the manifest so far.
    size_planned: int
    done: int
    #: Held by an instance now.
    leased: int
    #: Leased before, and free again now.
    returned: int
    #: Number of the first mini-batch never leased.
    cursor: int
    #: Items of the mini-batches that are done.
    items_done: int
    #: Items.
    succeeded: int
    #: Items.
    failed: int
    #: Rows of output.
    rows: int
    #: Bytes of output.
    size: int
    #: Attempts that failed, by category (from `fail`).
    failures: Mapping[str, int] = field(default_factory=dict)
    #: Lost with an instance that fell silent, each time counted.
    losses: int
    #: Instances that fell silent.
    expiries: int
    instances: list[InstanceInfo]
    #: Parts that hold something accepted.
    parts: int
    #: Seconds since a part was last accepted; since the opening where none was.
    seconds_since_commit: float
    #: Refused in commits because their lease was gone, each time counted.
    fenced: int
    #: What the job was closed with; "" before.
    status: str
    #: Whether leasing is held up.
    paused: bool = False
    #: Most instances that may score at a time; None: any number.
    share: int | None = None
    #: Second leases of one mini-batch, each time counted.
    copies: int = 0
    #: Refused in commits because the other of two leases had won, each time counted; not in `fenced`.
    outrun: int = 0
