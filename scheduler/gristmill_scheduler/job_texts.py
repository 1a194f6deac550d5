"""The texts in a job's logs that people read first: which log is what, how far it is, how it ended, and why."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from gristmill.counts import counted
from gristmill.spec import Job
from gristmill.states import JobStatus
from gristmill_storage import job_folder, log_files
from gristmill_storage.documents import document_or_none
from gristmill_storage.files import Store, open_store
from gristmill_storage.ledger import Snapshot

#: Seconds between two lines that tell how far a job is.
LINE_SECONDS: Final = 10.0

#: Errors that the summary of a script's errors has in full.
FIRST_ERRORS: Final = 20

#: Azure ML's sentence for a job that failed.
FAILED: Final = (
    "User program failed with Exception: Run failed. Please check logs for details. "
    "You can check logs/readme.txt for the layout of logs."
)


class JobTexts:
    """Writes the texts of one job; none of them is a reason for it to fail."""

    def __init__(self, job: Job, folder: Store) -> None:
        """Take the job and its folder."""
        self._job = job
        self._folder = folder
        self._said: object = None
        self._next = 0.0
        self._last: Snapshot | None = None

    def begin(self) -> None:
        """Say which log is what."""
        with log_files.harmless(f"{self._folder.url}/{job_folder.README}"):
            text = Path(__file__).with_name("readme.txt").read_bytes()
            log_files.put(self._folder, job_folder.README, [text])

    def see(self, snapshot: Snapshot) -> None:
        """Say how far the job is, if that has changed and was not said just before."""
        self._last = snapshot
        if time.monotonic() >= self._next:
            self._say(snapshot)

    def end(self, result: Mapping[str, Any]) -> None:
        """Say how the job ended; the last line of its progress comes first."""
        if self._last is not None:
            self._say(self._last)
        with log_files.harmless(f"{self._folder.url}: how the job ended"):
            self._conclude(result)

    def _say(self, snapshot: Snapshot) -> None:
        how_far = _how_far(snapshot)
        if how_far == self._said:
            return
        self._said, self._next = how_far, time.monotonic() + LINE_SECONDS
        now = time.gmtime()
        path = job_folder.progress_log(time.strftime("%Y%m%d%H", now))
        with log_files.harmless(f"{self._folder.url}/{path}"):
            line = f"{time.strftime('%Y-%m-%d %H:%M:%S', now)} {how_far}\n"
            log_files.append(self._folder, path, line.encode())

    def _conclude(self, result: Mapping[str, Any]) -> None:
        moment = time.strftime("%Y%m%d%H%M%S", time.gmtime())
        summary = document_or_none(self._folder, job_folder.SUMMARY) if result.get("summary") else None
        self._put(job_folder.result_log(moment), _result_lines(self._job, result, summary or {}))
        error = result.get("error")
        if result["status"] == JobStatus.FAILED and error:
            for path in job_folder.error_logs(moment):
                self._put(path, _error_lines(error))
        if summary and (summary.get("errors_by_category") or summary.get("attempts", {}).get("retried")):
            self._put(job_folder.ERROR_SUMMARY, itertools.chain(_counts(summary), self._first_errors(result)))

    def _put(self, path: str, lines: Iterator[str]) -> None:
        log_files.put(self._folder, path, (f"{line}\n".encode("utf-8", "backslashreplace") for line in lines))

    def _first_errors(self, result: Mapping[str, Any]) -> Iterator[str]:
        """Yield the first errors of items, from beside the output or, of a job that failed, from its folder."""
        if not result.get("errors"):
            return
        published = bool(result.get("output"))
        store = open_store(self._job.output.folder) if published else self._folder
        found = log_files.lines(store, job_folder.OUTPUT_ERRORS if published else job_folder.ERRORS)
        yield f"The first errors (all of them: {result['errors']}):"
        for line in itertools.islice(found, FIRST_ERRORS):
            error = json.loads(line)
            tries = f"mini-batch {error['mini_batch']}, {counted(error['attempts'], 'attempt')}"
            yield f"\n{error['file'] or 'all items'} ({tries}): {error['category']}: {error['message']}"
            if error.get("traceback"):
                yield error["traceback"].rstrip()


def _how_far(snapshot: Snapshot) -> str:
    planned = counted(snapshot.planned, "mini-batch")
    created = f"{planned} created" + ("" if snapshot.plan_closed else " so far")
    items = f"{counted(snapshot.succeeded, 'item')} succeeded, {snapshot.failed:,} failed"
    repeats = counted(sum(snapshot.failures.values()), "attempt")
    return f"{created}, {snapshot.done:,} processed; {items}; {repeats} failed with another to follow"


def _result_lines(job: Job, result: Mapping[str, Any], summary: Mapping[str, Any]) -> Iterator[str]:
    yield f"Job {job.name}: {result['status']}"
    if error := result.get("error"):
        yield f"{error.get('class')}: {error.get('message')}"
    for name in ("output", "errors", "summary"):
        if result.get(name):
            yield f"{name}: {result[name]}"
    for name in ("items", "mini_batches", "attempts", "errors_by_category", "seconds", "throughput"):
        if name in summary:
            yield f"{name.replace('_', ' ')}: {_figures(summary[name])}"
    if "rows" in summary:
        yield f"rows: {summary['rows']}"


def _figures(value: Any) -> str:
    """Return numbers by name, in a line."""
    shown = {name: _figures(one) if isinstance(one, dict) else one for name, one in value.items() if one is not None}
    return ", ".join(f"{name} {one}" for name, one in shown.items() if one != "") or "none"


def _error_lines(error: Mapping[str, Any]) -> Iterator[str]:
    yield FAILED
    yield f"{error.get('class')}: {error.get('message')}"
    if error.get("detail"):
        yield f"\n{error['detail']}"


def _counts(summary: Mapping[str, Any]) -> Iterator[str]:
    items = summary.get("errors_by_category") or {}
    yield f"Errors that stand in the result, by category: {_figures(items)}"
    yield f"Attempts that failed and were repeated, by category: {_figures(summary['attempts'].get('retried') or {})}"
    yield "Every attempt that failed, with its traceback: logs/user/error/<node>/errors.txt"
