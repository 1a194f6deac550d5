"""What goes wrong in a seed: chances per call, and a list of larger misfortunes with their times."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

#: Chances of what may happen to one call, by profile. Ledger: the request is lost, its reply is, it comes late (after
#: the caller has given up), its process dies before or after it. Store: refused, done and refused, death likewise.
CALLS: Final[dict[str, dict[str, float]]] = {
    "calm": {},
    "crashes": {"ledger_crash": 0.004, "store_crash": 0.01},
    "partitions": {"ledger_slow": 0.05},
    "replies": {"ledger_lost": 0.03, "ledger_reply": 0.05, "ledger_late": 0.04, "ledger_slow": 0.05},
    "flush": {"ledger_reply": 0.01},
    "storage": {"store_refused": 0.01, "store_reply": 0.01, "store_slow": 0.05},
    "shares": {
        "ledger_lost": 0.01,
        "ledger_reply": 0.02,
        "ledger_late": 0.02,
        "message_lost": 0.1,
        "message_twice": 0.1,
    },
    "storm": {
        "ledger_lost": 0.01,
        "ledger_reply": 0.02,
        "ledger_late": 0.02,
        "ledger_slow": 0.02,
        "ledger_crash": 0.001,
        "store_crash": 0.004,
        "store_refused": 0.002,
        "store_reply": 0.002,
        "store_slow": 0.02,
        "message_lost": 0.1,
        "message_twice": 0.1,
        "message_late": 0.1,
    },
}

#: Misfortunes by profile, from which each seed draws some.
BLOWS: Final[dict[str, tuple[str, ...]]] = {
    "calm": (),
    "crashes": ("kill_node", "kill_node", "kill_scheduler", "drain_node"),
    "partitions": ("freeze_scheduler", "cut_ledger", "cut_store", "cut_both", "freeze_node", "freeze_server"),
    "replies": ("away", "freeze_server"),
    "flush": ("flush", "restart", "kill_node"),
    "storage": ("cut_store", "cancel", "pause"),
    "shares": ("share", "share", "share", "share", "kill_node", "drain_node", "kill_scheduler", "flush"),
    "storm": (
        "kill_node", "kill_scheduler", "drain_node", "cut_ledger", "cut_store", "cut_both", "freeze_node",
        "freeze_server", "away", "restart", "flush", "cancel", "pause", "freeze_scheduler",
    ),
}  # fmt: skip

PROFILES: Final = tuple(CALLS)

#: Profiles that no seed lives under unless it is asked for: the others keep their seeds.
ASKED_FOR: Final = frozenset({"shares"})


@dataclass(kw_only=True)
class Faults:
    """The misfortunes of one seed."""

    rng: random.Random
    profile: str
    #: Until when things go wrong.
    until: float
    #: What did go wrong, counted.
    found: Counter[str] = field(default_factory=Counter)
    #: When the last of it was over.
    last: float = 0.0

    def strikes(self, kind: str, now: float) -> bool:
        """Draw whether a call meets a fault."""
        chance = CALLS[self.profile].get(kind, 0.0)
        if not chance or now >= self.until or self.rng.random() >= chance:
            return False
        self.note(kind, now)
        return True

    def note(self, kind: str, now: float, lasts: float = 0.0) -> None:
        """Count a fault, and when it is over."""
        self.found[kind] += 1
        self.last = max(self.last, now + lasts)

    def blows(self) -> list[tuple[float, str]]:
        """Draw the larger misfortunes and their times."""
        kinds = BLOWS[self.profile]
        if not kinds:
            return []
        count = self.rng.randint(1, 6)
        return sorted((self.rng.uniform(0.05, self.until), self.rng.choice(kinds)) for _ in range(count))
