"""Whether errors.jsonl names the failed items, each once, and no others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from gristmill.counts import counted
from gristmill.errors import NotFound
from gristmill_storage.files import Store
from gristmill_storage.output_index import Record
from gristmill_workers.aggregator.faults import Findings, some


class ErrorsCheck:
    """Goes through errors.jsonl beside the mini-batches, in their order."""

    def __init__(self, store: Store, path: str, findings: Findings) -> None:
        """Take where the file is (none there is fine where no item failed) and who is told."""
        self._path = path
        self._findings = findings
        self._lines = _documents(store, path, findings)
        self._next: dict[str, Any] | None = next(self._lines, None)
        #: Lines by category.
        self.categories: Counter[str] = Counter()

    def check(self, record: Record, items: tuple[str, ...] | None) -> None:
        """Check the lines of the next mini-batch; `items` is None where the manifest does not say them."""
        found = list(self._take(record.mini_batch))
        named = [str(line["file"]) for line in found if line.get("file") is not None]
        general = [line for line in found if line.get("file") is None]
        for name, times in Counter(named).items():
            if times > 1:
                self._fault(f"{name} of mini-batch {record.mini_batch} stands there {times} times")
            if items is not None and name not in items:
                self._fault(f"{name} is no item of mini-batch {record.mini_batch}")
        for line in general:
            if items is not None and not set(line.get("items") or ()) <= set(items):
                self._fault(f"a line of mini-batch {record.mini_batch} is about items that are not its own")
        self._count(record, set(named), items, general=bool(general))

    def _count(self, record: Record, named: set[str], items: tuple[str, ...] | None, *, general: bool) -> None:
        if general and record.failed >= max(1, len(named)):
            return  # it says how many are missing, not which
        if len(named) == record.failed and not general:
            return
        missing = [name for name in _failed_items(record, items) if name not in named]
        which = f" ({some(missing)} missing)" if missing else f" ({some(sorted(named))})" if named else ""
        self._fault(
            f"mini-batch {record.mini_batch} has {counted(record.failed, 'failed item')}, {len(named):,} listed{which}"
        )

    def finish(self) -> None:
        """Check that nothing stands behind the last mini-batch."""
        for _ in self._take(None):
            pass

    def _take(self, number: int | None) -> Iterator[dict[str, Any]]:
        """Yield the lines of a mini-batch; those before it are nobody's."""
        while self._next is not None and (number is None or self._next["mini_batch"] <= number):
            line = self._next
            self._next = next(self._lines, None)
            self.categories[str(line.get("category"))] += 1
            self._findings.checked["errors"] += 1
            if line["mini_batch"] == number:
                yield line
            else:
                self._fault(
                    f"the line of {line.get('file')} (mini-batch {line['mini_batch']}) is out of its place, "
                    "there twice, or about a mini-batch that the output does not have"
                )

    def _fault(self, text: str) -> None:
        self._findings.fault(f"{self._path}: {text}")


def _failed_items(record: Record, items: tuple[str, ...] | None) -> list[str]:
    """Return the items that failed, as far as they are known apart."""
    failed: list[str] = []
    place = 0
    for unit in record.units():
        if unit.succeeded == 0:
            failed += (items or ())[place : place + unit.items]
        place += unit.items
    return failed


def _documents(store: Store, path: str, findings: Findings) -> Iterator[dict[str, Any]]:
    try:
        file = store.open(path)
    except NotFound:
        return
    with file:
        for number, line in enumerate(file, 1):
            try:
                document = json.loads(line)
                int(document["mini_batch"])
            except (ValueError, TypeError, KeyError) as error:
                findings.fault(f"{path}: line {number} is no error that was written ({error})")
                continue
            yield document
