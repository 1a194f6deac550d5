"""How far a job is, how fast it goes and when it will be done, from the ledger alone."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Final

from gristmill_storage.ledger import Snapshot

#: Seconds over which the pace is measured.
WINDOW_SECONDS: Final = 10.0


class Progress:
    """Turns snapshots of the ledger into progress documents (see `docs/architecture.md` for their keys)."""

    def __init__(self) -> None:
        """Start the clock."""
        self._began = time.monotonic()
        self._seen: deque[tuple[float, int]] = deque()

    def document(self, snapshot: Snapshot) -> dict[str, Any]:
        """Return what a progress display shows."""
        now = time.monotonic()
        rate = self._rate(now, snapshot.succeeded + snapshot.failed)
        return {
            "elapsed": round(now - self._began, 3),
            "mini_batches": {
                "planned": snapshot.planned,
                "plan_closed": snapshot.plan_closed,
                "done": snapshot.done,
                "running": snapshot.leased,
                "waiting_retry": snapshot.returned,
            },
            "items": {
                "planned": snapshot.items_planned,
                "succeeded": snapshot.succeeded,
                "failed": snapshot.failed,
            },
            "rows": snapshot.rows,
            "rate": round(rate, 3),
            "eta": self._eta(snapshot, rate),
            "instances": sum(instance.info.get("role") == "instance" for instance in snapshot.instances),
            "scorers": sum(int(instance.info.get("scorers", 0)) for instance in snapshot.instances),
            "retries": dict(snapshot.failures),
        }

    def _rate(self, now: float, items: int) -> float:
        """Return items a second over the window."""
        self._seen.append((now, items))
        while len(self._seen) > 2 and now - self._seen[0][0] > WINDOW_SECONDS:  # noqa: PLR2004 - two make a difference
            self._seen.popleft()
        then, before = self._seen[0]
        return (items - before) / (now - then) if now > then else 0.0

    def _eta(self, snapshot: Snapshot, rate: float) -> float | None:
        """Return the seconds to go; None while the listing goes on or nothing moves."""
        left = snapshot.items_planned - snapshot.succeeded - snapshot.failed
        if not snapshot.plan_closed or (rate <= 0 and left):
            return None
        return round(left / rate, 1) if left else 0.0
