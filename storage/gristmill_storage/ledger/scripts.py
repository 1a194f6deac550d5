"""The ledger's transitions, written in Lua, and the keys that they work on: this docstring is the whole key model.

All keys of a job begin with `gristmill:{<job>}:`; the braces put them into one cluster slot. Only `...:job` is handed
to a script, which derives the others. Each mini-batch of the plan is always in exactly one place: never leased (at or
behind the cursor, its bit clear), leased (in one lease of one instance; in two leases while it is a double, which
counts once), returned, or done (its bit set).

    key, type         holds                                                     why, and how large
    job               state, epoch, error, status, lease_ms, threshold          about 36 fields
      hash            protocol                                                  the greatest of the schedulers that led
                                                                                it: who is no neighbour touches nothing
                      paused                                                    1: nothing is leased; not a state
                      share                                                     most instances that may score at a
                                                                                time; absent: any number
                      planned, plan_closed, items_planned, size_planned         the plan so far
                      cursor                                                    first mini-batch never leased
                      tokens                                                    leases so far: the fencing number
                      leased, returned, done                                    mini-batches in each place
                      doubled                                                   as many as `doubles` holds: where it is
                                                                                0, nobody looks there
                      oldest                                                    nothing that may be copied was leased
                                                                                before: who asks too early need not look
                      copies, outrun                                            second leases made; refused because
                                                                                the other lease had won
                      items_done, succeeded, failed, rows, size                 sums over accepted entries
                      failed:<category>, losses, expiries, fenced               what went wrong
                      heard                                                     when anybody last spoke of the job:
                                                                                tells an instance that died from a
                                                                                server that was away itself
                      committed                                                 when a part was last accepted
                      asked:<instance>                                          its latest request for a lease: one that
                                                                                comes later and is older leases nothing
    chunks            "<first>-<last>", by first                                a lease never crosses a chunk;
      zset                                                                      one a chunk
    returned          "<first>-<last>:<attempts>:<losses>", by the ms when due  leased before anything new, 0 is at
      zset                                                                      once, lowest number first; one a range
    instances         instance, by the ms when it expires (half a ms more:      one expiry for all that it holds;
      zset            put off once, because the server had been away)           one an instance
    info              instance -> "<ms when registered>:<JSON>"                 what it says of itself;
      hash                                                                      one an instance
    lease:<instance>  lease:<token> -> "<attempts>:<losses>:<ranges>:<ms when   what it holds;
      hash            made>:<1 for a copy, else 0>:<request>"
                      request:<request> -> token                                a repeated request gets its lease
                                                                                again; two a lease
    doubles           [[token, instance], [token, instance]], by mini-batch     who else holds it: the winner takes it
      zset                                                                      from the other; one a copy that runs
    outrun            token -> ranges that it lost to another lease             tells who lost a race from who was
      hash                                                                      fenced; at most one a copy
    done              bit n: mini-batch n is done                               grows as far as the last one done;
      string                                                                    one bit a mini-batch
    parts             part -> ranges that count from it: "3-9,12"               a repeated commit is answered as the
      hash                                                                      first one, and the aggregator knows
                                                                                what to read; one a part
    tallies           <phase>:<seconds>, <phase>:us, item:<category>            histograms and failures (tallies.py);
      hash            node:<sum>:<node>                                         what each node added; some 100 fields
    bell              nothing, or one element                                   BRPOP wakes a coordinator
      list
    leader            "<ms when it ends>:<ms it lasts>:<leader>"                one coordinator leads; there before the
      string                                                                    job is opened, and after it is forgotten

Two keys are no job's: `gristmill:jobs`, a hash, job -> folder of those that run, for who takes jobs over; and
`gristmill:nodes`, a hash, node -> "<ms when it is taken for gone>:<ms that a sign of life counts>:<JSON>".

Time to live: 30 days for each key, from its first write (EXPIRE NX), put off for all of them together at most once a
day by `renew` and `snapshot`; one hour, for all of them, from `close`. The leader's key ends with its time, that of the
jobs 30 days after the last `announce`, that of the nodes with the one that is seen longest. No key is ever without one.

Times are the server's, in ms since 1970. A transition's reply begins with a word: OK, LEASE, WAIT, OVER, COMMIT; LOST
(the job is unknown here), FENCED (the instance is), CONFLICT with a sentence (the call contradicts what is written),
STRANGER with the job's protocol (the caller's is no neighbour of it: see `gristmill.versions`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gristmill import versions

_FOLDER: Final = Path(__file__).parent / "lua"
#: What stands in front of each transition, behind the clock; each builds on those before it.
_SHARED: Final = ("prelude", "leases", "copies", "instances", "done")


@dataclass(frozen=True, kw_only=True, slots=True)
class Script:
    """One transition, ready to be called."""

    name: str
    source: str
    #: SHA-1 of the source: its name on the server.
    digest: str


class Scripts:
    """All transitions, each read from its file when it is first asked for."""

    def __init__(self, clock: str | None = None) -> None:
        """Take another clock (Lua source of `read_clock`) where a test has time in its own hands."""
        self._clock = clock
        self._known: dict[str, Script] = {}

    def __getitem__(self, name: str) -> Script:
        """Return the transition of that name."""
        script = self._known.get(name)
        if script is None:
            script = self._known[name] = self._load(name)
        return script

    def _load(self, name: str) -> Script:
        clock = _read("shared/clock") if self._clock is None else self._clock
        protocol = f"local PROTOCOL = {versions.PROTOCOL}"
        source = "\n".join([protocol, clock, *(_read(f"shared/{part}") for part in _SHARED), _read(name)])
        digest = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        return Script(name=name, source=source, digest=digest)


#: The hash of all jobs that run.
JOBS: Final = "gristmill:jobs"
#: The hash of all nodes that gave a sign of life lately.
NODES: Final = "gristmill:nodes"


def key(job: str, name: str) -> str:
    """Return the name of a key of a job."""
    return f"gristmill:{{{job}}}:{name}"


def _read(name: str) -> str:
    return (_FOLDER / f"{name}.lua").read_text(encoding="utf-8")
