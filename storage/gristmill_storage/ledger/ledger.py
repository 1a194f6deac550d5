"""The ledger of jobs in Redis: who holds what, what is done, what must be done again.

Each method is one transition, made by one Lua script on the server (scripts.py draws the keys). Each may be repeated,
and may arrive late, because replies get lost: the same call made twice leaves the same state as made once.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from gristmill import versions
from gristmill.errors import Fenced, LedgerFailed, LedgerLost, OtherVersion
from gristmill_storage.ledger.connection import Connection
from gristmill_storage.ledger.records import (
    Commit,
    Entry,
    Lease,
    Over,
    Range,
    Registration,
    Snapshot,
    Wait,
)
from gristmill_storage.ledger.replies import check, mapping, nodes, pairs, ranges, reading, snapshot
from gristmill_storage.ledger.scripts import JOBS, NODES, Scripts, key

#: Parts that one step of `parts` asks for.
_PARTS_AT_ONCE = 1000


class Ledger:
    """A client of the ledger. Safe to share between threads; every call may be repeated.

    Every method raises `LedgerFailed` when the server cannot be used, and all raise `LedgerLost` when it knows nothing
    of the job, save those that need none: `open`, `wait`, `forget`, `lead`, `unlead`, `announce`, `announced`, and
    those of nodes. What is asked of a job raises `OtherVersion` when its protocol is no neighbour of this Gristmill's.
    """

    def __init__(self, url: str, *, timeout: float = 5.0, patience: float = 60.0) -> None:
        """Take the server's address; nothing is connected before the first call.

        Args:
            url: redis://, rediss:// or unix:///path.sock?db=0
            timeout: seconds that one answer may take
            patience: seconds that a call goes on trying while the server is away

        """
        self._server = Connection(url, timeout=timeout, patience=patience, library=False)
        self._scripts = Scripts()
        self._caller = os.urandom(6).hex()
        self._calls = itertools.count(1)

    def tell_waits(self, tell: Callable[[str], None]) -> None:
        """Have somebody told what calls wait for while the server is away, once in an outage, and "" at its end."""
        self._server.tell = tell

    def open(self, job: str, *, epoch: str, lease_seconds: float, error_threshold: int) -> None:
        """Begin a job, or a new life of one that is closed or lost.

        Raises:
            LedgerFailed: the job lives here under another epoch: `close` or `forget` it first.

        """
        self._run("open", job, epoch, round(lease_seconds * 1000), error_threshold)

    def extend(self, job: str, *, first: int, count: int, items: int, size: int, closed: bool) -> None:
        """Add a manifest chunk of `count` mini-batches from number `first` on to the plan; `closed`: it is the last.

        Raises:
            LedgerFailed: the chunk does not follow the plan's end, or is there with other bounds.

        """
        self._run("extend", job, first, count, items, size, int(closed))

    def adopt(self, job: str, *, part: str, entries: Sequence[Entry]) -> None:
        """Take what a part on storage holds as done, without a lease; what is done already is passed over.

        Give one entry a mini-batch where the counts must be exact: an entry that is partly done already is counted by
        the share of its mini-batches that is new.

        Raises:
            LedgerFailed: the part holds what is not in the plan.

        """
        rows = ((e.first, e.last, e.items, e.succeeded, e.failed, e.rows, e.size, e.tallies) for e in entries)
        self._run("adopt", job, part, *itertools.chain.from_iterable(rows))

    def register(self, job: str, *, instance: str, info: Mapping[str, Any]) -> Registration:
        """Join a job; one that is closed takes nobody. Work is leased only where the state told is "open".

        "full" is told where the job has its share of instances: this one was not taken in, and is to leave at once.
        Aggregators (`role` in `info`) are no part of a share.
        """
        _, epoch, lease_ms, state = self._run("register", job, instance, json.dumps(info))
        return Registration(epoch=epoch, lease_seconds=lease_ms / 1000, state=state)

    def renew(self, job: str, *, instance: str, info: Mapping[str, Any]) -> str:
        """Put off an instance's expiry, and with it that of all its leases; returns the job's state.

        "surplus" in place of "open" asks the instance to leave, because the job has more than its share: it finishes
        what is being scored, and gives the rest back. Who says `leaving` in `info` is one of them first, then who says
        `ready_after`, of these who has been there the longest.

        Raises:
            Fenced: the instance is not known: it fell silent and its work went to others. It must stop, and may
                register under another name.

        """
        return str(self._run("renew", job, instance, json.dumps(info))[1])

    def leave(self, job: str, *, instance: str) -> None:
        """Leave a job; what is still held is returned as it was."""
        self._run("leave", job, instance)

    def lease(
        self,
        job: str,
        *,
        instance: str,
        limit: int,
        request: str | None = None,
        copy_after: float | None = None,
        holds_nothing: bool = False,
        least: int | None = None,
    ) -> Lease | Wait | Over:
        """Lease at most `limit` consecutive mini-batches of one manifest chunk.

        Args:
            job: the job
            instance: who asks
            limit: the most mini-batches; what was lost twice before is leased one by one
            request: names the call, so that repeating it gives the same lease again; default: each call is another one
                (its repetitions after a lost connection, made here, are the same). Where names are "<caller>-<number>",
                as here, one that the network kept until a later one was answered leases nothing
            copy_after: when nothing else is left of a closed plan, lease a copy of one mini-batch that some lease has
                held for that many seconds, the longest held first; None: never. Both may commit it, and the first wins.
                Who has others copy its work commits one entry a mini-batch: one that was outrun spoils its entry.
            holds_nothing: the instance has nothing in hand and no commit under way: what the ledger has it hold is
                returned first, as it was. A server that lost what it had acknowledged (a power cut, a replica that
                took over) would else keep from everybody what was committed, or leased, in the seconds that it lost.
            least: the last mini-batches of a closed plan are shared out among the instances: each gets half of an equal
                share of what is left, and so many at least; None: they are not.

        Raises:
            Fenced: the instance is not known.

        """
        name = f"{self._caller}-{next(self._calls)}" if request is None else request
        copy_ms = "" if copy_after is None else math.ceil(copy_after * 1000)
        shared = "" if least is None else least
        reply = self._run("lease", job, instance, limit, name, copy_ms, int(holds_nothing), shared)
        if reply[0] == "OVER":
            return Over(state=reply[1])
        if reply[0] == "WAIT":
            return Wait(seconds=reply[1] / 1000)
        _, token, first, last, attempts, losses, chunk, copy = reply
        return Lease(
            token=token, first=first, last=last, attempts=attempts, losses=losses, chunk=chunk, copy=bool(copy)
        )

    def commit(
        self, job: str, *, instance: str, part: str, entries: Sequence[Entry], node: str = "", tallies: str = ""
    ) -> Commit:
        """Say that a part is durable. An entry counts whole if its lease still holds all of it, else not at all.

        What the lease still holds of an entry that does not count is returned: the part is never read for it.
        `tallies` (see `tallies.encode`) are what the instance counted on `node`; they count once a part, if it does.
        """
        rows = ((e.token, e.first, e.last, e.items, e.succeeded, e.failed, e.rows, e.size, e.tallies) for e in entries)
        counted = (node, tallies, *itertools.chain.from_iterable(rows))
        _, state, accepted, refused = self._run("commit", job, instance, part, *counted)
        with reading(self._server.name, "commit", (accepted, refused)):
            return Commit(accepted=pairs(accepted), refused=pairs(refused), state=state)

    def fail(self, job: str, *, instance: str, token: str, mini_batch: int, category: str, delay: float) -> bool:
        """Return a mini-batch whose attempt failed, with one attempt more, to be leased in `delay` seconds or later.

        Where another lease holds it too, nothing is returned: that one goes on alone. Returns False when the lease did
        not hold it (any more).
        """
        reply = self._run("fail", job, instance, token, mini_batch, category, math.ceil(delay * 1000))
        return bool(reply[1])

    def give_back(self, job: str, *, instance: str, token: str, ranges: Sequence[Range] | None) -> None:
        """Return ranges of a lease (None: all that is left of it) as they were, at once."""
        if ranges is None or ranges:
            self._run("give_back", job, instance, token, *itertools.chain.from_iterable(ranges or ()))

    def stop(self, job: str, *, state: str, error: Mapping[str, Any] | None, epoch: str = "") -> bool:
        """End the leasing of an open job as "stopped" or "canceled". False: it had ended before, in another way.

        With `epoch`, only the life of that name ends: one that was begun since has nothing to do with the reason.
        """
        document = "" if error is None else json.dumps(error, sort_keys=True)
        return bool(self._run("stop", job, state, document, epoch)[1])

    def pause(self, job: str, *, paused: bool) -> bool:
        """Hold the leasing of an open job up, or let it go on; commits and failures are taken meanwhile.

        Returns True when it is as asked, also when it was so before; False when the job is not open.
        """
        return bool(self._run("pause", job, int(paused))[1])

    def share(self, job: str, *, instances: int | None) -> None:
        """Limit the instances that may score for a job at a time; None: any number may. A rebuilt job has no limit."""
        self._run("share", job, "" if instances is None else instances)

    def close(self, job: str, *, status: str, error: Mapping[str, Any] | None = None, epoch: str = "") -> None:
        """End a job: nothing is taken any more, its keys go within the hour, and it is announced no more.

        `error` says why it ended for whoever looks here, since storage may be what failed. With `epoch`, only the life
        of that name ends, not one that was begun since.
        """
        try:
            reply = self._run("close", job, status, json.dumps(error) if error else "", epoch)
        except LedgerLost:
            self._withdraw(job)
            raise
        if reply[1]:
            self._withdraw(job)

    def snapshot(self, job: str) -> Snapshot:
        """Return the whole state of a job."""
        _, now, fields, info, parts = self._run("snapshot", job)
        with reading(self._server.name, "snapshot", fields):
            return snapshot(now, mapping(fields), mapping(info), parts)

    def tallies(self, job: str) -> dict[str, int]:
        """Return what was counted of a job beside its sums (see `gristmill_storage.tallies`); nothing is no error."""
        found: Any = self._server.call(lambda client: client.hgetall(key(job, "tallies")))
        with reading(self._server.name, "HGETALL", found):
            return {name: int(amount) for name, amount in sorted(dict(found).items())}

    def parts(self, job: str) -> Iterator[tuple[str, list[Range]]]:
        """Yield each part and the ranges that count from it, joined, in no order."""
        if not self._server.call(lambda client: client.exists(key(job, "job"))):
            raise self._lost(job)
        cursor, seen = None, set[str]()
        while cursor != 0:
            cursor, found = self._scan(job, cursor or 0)
            for part, held in found.items():
                if part not in seen:
                    seen.add(part)
                    yield part, held

    def wait(self, job: str, seconds: float) -> None:
        """Return when something happened that a coordinator cares about, or the time is over.

        That is: all is scored, the job was stopped or closed, an instance came or went. A server that is away is waited
        for in silence. One waiter a job: what woke one does not wake another.
        """
        deadline = time.monotonic() + seconds
        longest = self._server.timeout / 2
        while (left := deadline - time.monotonic()) > 0:
            if self._rang(job, max(0.01, min(left, longest))):
                return

    def forget(self, job: str) -> None:
        """Delete all that is known of a job, also that it was announced; who leads it goes on leading."""
        self._run("forget", job)
        self._withdraw(job)

    def lead(self, job: str, *, leader: str, seconds: float) -> bool:
        """Take the leadership of a job for so many seconds, or renew it. False: another leads it."""
        return bool(self._run("lead", job, leader, max(1, math.ceil(seconds * 1000)))[1])

    def unlead(self, job: str, *, leader: str) -> None:
        """Give the leadership of a job up; that of another stays."""
        self._run("unlead", job, leader)

    def speak(self, job: str) -> None:
        """Note that a scheduler of this version leads a job that another one opened."""
        self._run("speak", job)

    def announce(self, job: str, *, folder: str) -> None:
        """Note a job and its folder among those that run, until it is closed or forgotten."""
        self._server.run(self._scripts["announce"], JOBS, (job, folder))

    def announced(self) -> dict[str, str]:
        """Return the folder of each job that was announced and not closed or forgotten since."""
        found: Any = self._server.call(lambda client: client.hgetall(JOBS))
        with reading(self._server.name, "HGETALL", found):
            return dict(found)

    def see_node(self, node: str, info: Mapping[str, Any], seconds: float) -> None:
        """Note a node's sign of life and what it says of itself; it counts for so many seconds."""
        term = max(1, math.ceil(seconds * 1000))
        self._server.run(self._scripts["see_node"], NODES, (node, json.dumps(info), term))

    def leave_node(self, node: str) -> None:
        """Forget a node that leaves in order, before its last sign of life has run out."""
        self._server.run(self._scripts["leave_node"], NODES, (node,))

    def nodes(self) -> list[dict[str, Any]]:
        """Return what each node that lives says of itself, by name.

        Beside that a node has its "name", and "age_seconds" since its last sign of life.
        """
        answer = self._server.run(self._scripts["nodes"], NODES, ())
        reply = check("nodes", answer, self._server.name)
        with reading(self._server.name, "nodes", reply):
            return nodes(reply[1])

    def disconnect(self) -> None:
        """Close the connections; the next call makes new ones."""
        self._server.disconnect()

    def _run(self, transition: str, job: str, *arguments: Any) -> Any:
        answer = self._server.run(self._scripts[transition], key(job, "job"), arguments)
        reply = check(transition, answer, self._server.name)
        if reply[0] == "LOST":
            raise self._lost(job)
        if reply[0] == "STRANGER":
            raise OtherVersion(_stranger(job, reply[1]))
        if reply[0] == "FENCED":
            raise Fenced(
                f"job {job}: instance {arguments[0]} is not known to the ledger (any more): its work went to others"
            )
        if reply[0] == "CONFLICT":
            raise LedgerFailed(f"job {job} in the ledger at {self._server.name}: {reply[1]}")
        return reply

    def _withdraw(self, job: str) -> None:
        # A command of its own: the jobs are in another cluster slot. Where it fails, the caller repeats the whole call.
        self._server.call(lambda client: client.hdel(JOBS, job))

    def _rang(self, job: str, seconds: float) -> bool:
        started = time.monotonic()
        if self._server.once(lambda client: client.brpop([key(job, "bell")], timeout=seconds)):
            return True
        # A server that is away refuses at once: keep an even pace.
        time.sleep(max(0.0, min(seconds, 0.2) - (time.monotonic() - started)))
        return False

    def _scan(self, job: str, cursor: int) -> tuple[int, dict[str, list[Range]]]:
        reply: Any = self._server.call(lambda client: client.hscan(key(job, "parts"), cursor, count=_PARTS_AT_ONCE))
        with reading(self._server.name, "HSCAN", reply):
            return int(reply[0]), {part: ranges(text) for part, text in dict(reply[1]).items()}

    def _lost(self, job: str) -> LedgerLost:
        return LedgerLost(f"the ledger at {self._server.name} knows nothing of job {job}")


def _stranger(job: str, protocol: int) -> str:
    what, that = f"job {job} in the ledger", "the scheduler that leads it"
    return versions.refusal(protocol, what, this="this process", that=that)
