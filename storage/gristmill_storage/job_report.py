"""A job's report, `logs/sys/job_report/`: every attempt at a mini-batch, in order, and what processes and nodes did.

Instances write down attempts as they end, each in files of its own; here they are put together when the job is over.
An instance's rows have the report's columns, but the mini-batch's number has twelve digits, so that rows sort by their
bytes. Rows beyond `ROWS_LIMIT` are left out of the report; sums are always of everything.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from gristmill.errors import StorageFailed
from gristmill_storage import job_folder, log_files
from gristmill_storage.files import Store
from gristmill_storage.sorting import in_order

#: Attempts that a report holds at most, and so an instance's file too.
ROWS_LIMIT: Final = 1_000_000

#: Rows that are sorted in memory at once: they are longer than most names.
_RUN: Final = 5_000

#: Columns of `processed_mini-batches.csv`, as Azure ML calls them.
COLUMNS: Final = (
    "Mini-batch Id",
    "Picked Count",
    "Process",
    "Process Start Time",
    "Total",
    "Succeeded",
    "Failed",
    "Elapsed Seconds",
    "Process Seconds",
    "Run Method Seconds",
    "Status",
    "Error Category",
    "Error Message",
    "Mini-batch Detail",
)

#: Columns of `process_summary.csv`: the keys of a process in an instance's sums.
PROCESS_COLUMNS: Final = {
    "Process": "process",
    "Process Start Time": "started",
    "Attempts": "attempts",
    "Failed Attempts": "attempts_failed",
    "Total": "total",
    "Succeeded": "succeeded",
    "Failed": "failed",
    "Run Method Seconds": "seconds",
}

#: Columns of `node_summary.csv`, which has a line for each instance.
NODE_COLUMNS: Final = (
    "Node",
    "Instance",
    "Start Time",
    "Processes",
    "Attempts",
    "Failed Attempts",
    "Total",
    "Succeeded",
    "Failed",
    "Run Method Seconds",
)

#: What the sums of a node add up.
_ADDED: Final = ("attempts", "attempts_failed", "total", "succeeded", "failed", "seconds")

log = logging.getLogger("gristmill.logs")


def csv_line(cells: Iterable[object]) -> str:
    """Return a line of a CSV file; line breaks in it become spaces, so that a row is a line."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([_flat(cell) for cell in cells])
    return line.getvalue() + "\n"


def _flat(cell: object) -> object:
    return " ".join(cell.replace("\0", " ").split("\n")).replace("\r", " ") if isinstance(cell, str) else cell


def write_report(folder: Store) -> None:
    """Put together what a job's instances wrote down; a report that cannot be written is left out, with a warning."""
    with log_files.harmless(f"{folder.url}: the report of its attempts"):
        names = [entry.path for entry in folder.list(job_folder.NODE_LOGS)]
        sums = list(_all_sums(folder, [name for name in names if name.endswith(job_folder.INSTANCE_SUMS)]))
        attempts = [name for name in names if name.endswith(job_folder.INSTANCE_ATTEMPTS)]
        log_files.put(folder, job_folder.ATTEMPTS, _attempts(folder, attempts, sums))
        log_files.put(folder, job_folder.PROCESSES, _processes(sums))
        log_files.put(folder, job_folder.NODES, _nodes(sums))


def _attempts(folder: Store, names: Iterable[str], sums: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    rows = itertools.chain.from_iterable(log_files.lines(folder, name) for name in names)
    count = 0
    yield csv_line(COLUMNS).encode()
    ordered = in_order(itertools.islice(rows, ROWS_LIMIT), run=_RUN)
    for count, row in enumerate(ordered, 1):  # noqa: B007 - how many there were
        plain = row.lstrip(b"0")
        yield b"0" + plain if plain.startswith(b",") else plain
    ended = sum(process["attempts"] for one in sums for process in one["processes"])
    if count >= ROWS_LIMIT and ended > count:
        text = f"the report is cut off here: it has {count} attempts of {ended}"
        yield csv_line(["", "", "", "", "", "", "", "", "", "", "CUT_OFF", "", text, ""]).encode()


def _all_sums(folder: Store, names: Iterable[str]) -> Iterator[dict[str, Any]]:
    for name in names:
        try:
            document = json.loads(folder.read(name))
            for process in document["processes"]:
                _ = [process[key] for key in PROCESS_COLUMNS.values()]
            yield {key: document[key] for key in ("node", "instance", "started", "processes")}
        except (StorageFailed, ValueError, LookupError, TypeError) as error:
            log.warning("%s/%s cannot be read: %r", folder.url, name, error)


def _processes(sums: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    yield csv_line(PROCESS_COLUMNS).encode()
    for one in sums:
        for process in one["processes"]:
            yield csv_line(process[key] for key in PROCESS_COLUMNS.values()).encode("utf-8", "backslashreplace")


def _nodes(sums: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    yield csv_line(NODE_COLUMNS).encode()
    for one in sums:
        added = [round(sum(process[key] for process in one["processes"]), 6) for key in _ADDED]
        processes = sum(bool(process["process"]) for process in one["processes"])
        cells = [one["node"], one["instance"], one["started"], processes, *added]
        yield csv_line(cells).encode("utf-8", "backslashreplace")
