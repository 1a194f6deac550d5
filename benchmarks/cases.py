"""The workloads: what is scored, by what, and what it may cost on top of the limit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.running import Failed

SCRIPTS: Final = Path(__file__).parent / "scripts"

#: Scorers of the product, processes of the limit.
SCORERS: Final = 2


@dataclass(frozen=True, kw_only=True)
class Case:
    """One workload, as both sides run it."""

    name: str
    #: In words, for the table.
    title: str
    #: The scoring script of both; of the limit alone where the product needs none.
    script: str
    #: Folder of the input, and of the model, below the folder of the data.
    input: str
    model: str | None
    mini_batch: int
    items: int
    #: Rows that must come out.
    rows: int
    #: Seconds that the product may take on top of the limit.
    allowed: float = 0.6
    #: Whether the product scores the model by itself, without the script.
    no_code: bool = False
    #: So many of the input's files and no more; None: all.
    first: int | None = None

    @property
    def mini_batches(self) -> int:
        """How many there are."""
        return -(-self.items // self.mini_batch)

    @property
    def path(self) -> Path:
        """Where the scoring script is."""
        return SCRIPTS / self.script


_W1: Final = {"script": "digits.py", "input": "digits", "model": "digits-model", "items": 20_000, "rows": 20_000}
_W2: Final = {"script": "tables.py", "input": "tables", "model": "tables-model", "mini_batch": 5}

CASES: Final = (
    Case(
        name="W0",
        title="100,000 null items, mini-batch 10",
        script="null.py",
        input="null",
        model=None,
        mini_batch=10,
        items=100_000,
        rows=100_000,
    ),
    Case(name="W1.10", title="20,000 PNG, torch, mini-batch 10", mini_batch=10, **_W1),  # type: ignore[arg-type]
    Case(name="W1.100", title="20,000 PNG, torch, mini-batch 100", mini_batch=100, **_W1),  # type: ignore[arg-type]
    Case(
        name="W2",
        title="200 CSV x 5,000 rows, MLflow model, no code",
        no_code=True,
        items=200,
        rows=1_000_000,
        **_W2,  # type: ignore[arg-type]
    ),
    Case(
        name="W2.script",
        title="the same, by script",
        items=200,
        rows=1_000_000,
        **_W2,  # type: ignore[arg-type]
    ),
    Case(
        name="W3",
        title="400 items x 50 ms of torch, mini-batch 4",
        script="matrices.py",
        input="matrices",
        model="matrices-50-ms",
        mini_batch=4,
        items=400,
        rows=400,
    ),
)

#: What is paid whatever there is to score: two mini-batches.
FIXED: Final = (
    Case(
        name="fixed.W0",
        title="two mini-batches of W0",
        script="null.py",
        input="null-two",
        model=None,
        mini_batch=10,
        items=20,
        rows=20,
    ),
    Case(
        name="fixed.W1",
        title="two mini-batches of W1",
        script="digits.py",
        input="digits-two",
        model="digits-model",
        mini_batch=10,
        items=20,
        rows=20,
    ),
)


def named(name: str) -> Case:
    """Return the case of a name.

    Raises:
        Failed: there is none.

    """
    known = {case.name: case for case in (*CASES, *FIXED)}
    if name not in known:
        raise Failed(f"{name}: no such case; give {', '.join(known)}")
    return known[name]
