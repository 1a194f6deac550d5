"""The ledger: the state of every job, in Redis (`Ledger`) or in this process for tests (`MemoryLedger`)."""

from __future__ import annotations

from gristmill_storage.ledger.ledger import Ledger
from gristmill_storage.ledger.measures import Health, Holding, JobMeasures, Measures
from gristmill_storage.ledger.memory import MemoryLedger
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
