"""`settings.tuning`: what an instance chooses by itself, for those who know better."""

from __future__ import annotations

from typing import Final

from gristmill.deployment.kinds import Integer
from gristmill.deployment.sections import Key, Section


def _own(name: str, kind: Integer, default: str, meaning: str) -> Key:
    """Return a key; Azure knows none of this section."""
    return Key(name=name, kind=kind, default=default, meaning=meaning, ours=True)


TUNING: Final = Section(
    (
        _own(
            "lease_mini_batches", Integer(1, 8192), "half a second of work",
            "Mini-batches that an instance holds leased, at least one a scorer.",
        ),
        _own(
            "frames_in_flight", Integer(1, 16), "2, or 1 where a mini-batch takes longer than 0.05 s",
            "Messages that a scorer has been given and not answered; short mini-batches share one.",
        ),
        _own(
            "prefetch_items", Integer(0, 100_000), "128",
            "Files of a store that are fetched ahead of the scorers, 256 MB at most.",
        ),
        _own(
            "threads_per_scorer", Integer(1, 1024), "the instance's cores / its scorers",
            "Threads of a scorer's numerical libraries (`OMP_NUM_THREADS` and the like).",
        ),
        _own(
            "flush_bytes", Integer(1, 2**40), "16777216",
            "Bytes of rows at which results are made durable, or after 4,096 mini-batches, or after 0.25 to 10 s.",
        ),
    ),
    path="settings.tuning",
)  # fmt: skip
