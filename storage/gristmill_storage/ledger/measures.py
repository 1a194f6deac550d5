"""What the exporter of metrics reads of the ledger: many jobs in one round trip, and how the server itself is.

It changes nothing and waits for nothing: a server that is away is told as that, and the next scrape asks again.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from gristmill_storage.ledger.connection import Connection
from gristmill_storage.ledger.records import Snapshot
from gristmill_storage.ledger.replies import check, mapping, reading, snapshot
from gristmill_storage.ledger.scripts import JOBS, Script, Scripts, key

if TYPE_CHECKING:
    import redis

#: Seconds that one answer may take.
ANSWER_SECONDS: Final = 2.0

#: What is told of the server, by the name that it has in its own INFO.
_WHOLE: Final = (
    *("used_memory", "used_memory_peak", "maxmemory", "connected_clients", "blocked_clients", "evicted_keys"),
    *("total_commands_processed", "uptime_in_seconds", "aof_enabled", "aof_current_size", "aof_delayed_fsync"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """What an instance holds leased."""

    #: Seconds since the oldest of its leases was made.
    oldest_seconds: float
    mini_batches: int


@dataclass(frozen=True, kw_only=True, slots=True)
class JobMeasures:
    """What the ledger knows of a job at one moment."""

    snapshot: Snapshot
    #: Failed items that are allowed; -1: any number.
    threshold: int
    lease_seconds: float
    #: See `gristmill_storage.tallies`; and `node:<sum>:<node>`.
    tallies: Mapping[str, int]
    #: By instance; those that hold nothing are left out.
    holding: Mapping[str, Holding]


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """How the server is."""

    #: Of one question that costs nothing, there and back.
    latency_seconds: float
    #: What its INFO says in whole numbers, by its names; what it does not tell is left out.
    numbers: Mapping[str, int]
    #: Whether it could write its append-only file the last time; None: it keeps none.
    writes: bool | None
    #: Jobs that are announced, of this workspace or any other.
    jobs: int


class Measures:
    """Reads; safe to share between threads."""

    def __init__(self, url: str, *, timeout: float = ANSWER_SECONDS) -> None:
        """Take the server's address, and the seconds that one answer may take; there is no second try."""
        self._server = Connection(url, timeout=timeout, patience=0.0)
        self._script = Scripts()["measure"]

    def jobs(self, names: Sequence[str]) -> dict[str, JobMeasures]:
        """Return what is known of jobs, by name; those that the ledger does not know are left out.

        So are those of a version that this server does not work with.

        Raises:
            LedgerFailed: the server cannot be used.

        """
        if not names:
            return {}
        answers = self._server.call(lambda client: _all(client, self._script, names))
        found = {}
        for name, answer in zip(names, answers, strict=True):
            reply = check("measure", answer, self._server.name)
            if reply[0] == "OK":
                found[name] = self._read(reply)
        return found

    def health(self) -> Health:
        """Return how the server is.

        Raises:
            LedgerFailed: it cannot be used.

        """
        return self._server.call(self._ask)

    def disconnect(self) -> None:
        """Close the connections; the next call makes new ones."""
        self._server.disconnect()

    def _read(self, reply: Sequence[Any]) -> JobMeasures:
        _, now, fields, info, parts, tallies, holders = reply
        with reading(self._server.name, "measure", reply):
            known = mapping(fields)
            return JobMeasures(
                snapshot=snapshot(now, known, mapping(info), parts),
                threshold=int(known["threshold"]),
                lease_seconds=int(known["lease_ms"]) / 1000,
                tallies={name: int(amount) for name, amount in mapping(tallies).items()},
                holding={
                    name: Holding(oldest_seconds=max(0.0, now - float(made)) / 1000, mini_batches=int(size))
                    for name, made, size in zip(holders[::3], holders[1::3], holders[2::3], strict=True)
                },
            )

    def _ask(self, client: redis.Redis) -> Health:
        began = time.perf_counter()
        client.ping()
        latency = time.perf_counter() - began
        told: Any = client.info()
        with reading(self._server.name, "INFO", told):
            return Health(
                latency_seconds=latency,
                numbers={name: int(told[name]) for name in _WHOLE if name in told},
                writes=told.get("aof_last_write_status") == "ok" if told.get("aof_enabled") else None,
                jobs=int(client.hlen(JOBS)),
            )


def _all(client: redis.Redis, script: Script, names: Sequence[str]) -> list[Any]:
    """Ask of all jobs at once; a server that does not know the script is told it first."""
    from redis.exceptions import NoScriptError  # noqa: PLC0415 (an optional extra, and slow)

    try:
        return _ask_all(client, script, names)
    except NoScriptError:
        client.script_load(script.source)
        return _ask_all(client, script, names)


def _ask_all(client: redis.Redis, script: Script, names: Sequence[str]) -> list[Any]:
    with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.evalsha(script.digest, 1, key(name, "job"))
        answers: list[Any] = pipeline.execute()
        return answers
