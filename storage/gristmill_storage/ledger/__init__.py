"""The ledger: the state of every job, in Redis (`Ledger`) or in this process for tests (`MemoryLedger`)."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gristmill_storage.ledger.ledger import Ledger
from gristmill_storage.ledger.records import (
    Commit,
    Entry,
    InstanceInfo,
    Lease,
    Over,
    Range,
    Registration,
    Snapshot,
    Wait,
)

if TYPE_CHECKING:
    from gristmill_storage.ledger.measures import Health, Holding, JobMeasures, Measures
    from gristmill_storage.ledger.memory import MemoryLedger

#: What schedulers and nodes do not need is imported when it is asked for.
_LATER = {
    "Health": "measures",
    "Holding": "measures",
    "JobMeasures": "measures",
    "Measures": "measures",
    "MemoryLedger": "memory",
}

__all__ = [
    "Commit",
    "Entry",
    "Health",
    "Holding",
    "InstanceInfo",
    "JobMeasures",
    "Lease",
    "Ledger",
    "Measures",
    "MemoryLedger",
    "Over",
    "Range",
    "Registration",
    "Snapshot",
    "Wait",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for later."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"{__name__}.{_LATER[name]}"), name)
    return value
