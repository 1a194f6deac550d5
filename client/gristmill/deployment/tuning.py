"""`settings.tuning`: what an instance chooses by itself, for those who know better."""

from __future__ import annotations

from typing import Final

from gristmill.deployment.kinds import Integer
from gristmill.deployment.sections import Key, Section

TUNING: Final = Section(
    (
        Key(
            name="lease_mini_batches",
            kind=Integer(1, 8192),
            default="half a second of work",
            meaning="Mini-batches that an instance holds leased, at least one a scorer.",
            ours=True,
        ),
        Key(
            name="frames_in_flight",
            kind=Integer(1, 16),
            default="2, or 1 where a mini-batch takes longer than 0.05 s",
            meaning="Messages that a scorer has been given and not answered; short mini-batches share one.",
            ours=True,
        ),
        Key(
            name="prefetch_items",
            kind=Integer(0, 100_000),
            default="128",
            meaning="Files of a store that are fetched ahead of the scorers, 256 MB at most.",
            ours=True,
        ),
        Key(
            name="threads_per_scorer",
            kind=Integer(1, 1024),
            default="the instance's cores / its scorers",
            meaning="Threads of a scorer's numerical libraries (`OMP_NUM_THREADS` and the like).",
            ours=True,
        ),
        Key(
            name="flush_bytes",
            kind=Integer(1, 2**40),
            default="16777216",
            meaning="Bytes of rows at which results are made durable; they are after 0.25 to 10 s in any case.",
            ours=True,
        ),
    ),
    path="settings.tuning",
)
