"""Prints a job while it runs, as `az ml job stream` does: its logs, where it stands, and the execution summary."""

from __future__ import annotations

from typing import TextIO

from gristmill.cli.progress import figures, headline
from gristmill.service.events import Event
from gristmill.service.jobs import ServiceJob
from gristmill.states import JobStatus


def print_stream(job: ServiceJob, out: TextIO, *, progress: TextIO | None = None) -> None:
    """Print what happens to a job until its end; raise what ended it.

    Args:
        job: the job, as it was last heard of.
        out: where the lines of its logs go, and the summary.
        progress: where status and progress go; None: to `out`, too.

    Raises:
        GristmillError: as `ServiceJob.wait`.

    """
    _print(out, f"RunId: {job['name']}")
    link = (job.get("services") or {}).get("Studio", {}).get("endpoint")
    if link:
        _print(out, f"Web View: {link}")
    lines = _Lines(out, out if progress is None else progress)
    for event in job.stream():
        lines.tell(event, job)
    out.write(execution_summary(job))
    out.flush()
    job.wait()


def execution_summary(job: ServiceJob) -> str:
    """Return what is said of a job at its end, a line a fact."""
    items, outputs = job.get("items") or {}, job.get("outputs") or {}
    facts = {
        "RunId": job["name"],
        "Status": job["status"],
        "Items": f"{items.get('succeeded') or 0:,} succeeded, {items.get('failed') or 0:,} failed",
        "Rows": f"{job.get('rows') or 0:,}",
        "Output": (outputs.get("score") or {}).get("path") if job["status"] == JobStatus.COMPLETED else None,
    }
    lines = "".join(f"{name}: {fact}\n" for name, fact in facts.items() if fact)
    return f"\nExecution Summary\n=================\n{lines}"


class _Lines:
    """What of the events is worth a line."""

    def __init__(self, out: TextIO, aside: TextIO) -> None:
        self._out, self._aside = out, aside
        self._file = ""
        self._stood = ""
        self._counts = ""

    def tell(self, event: Event, job: ServiceJob) -> None:
        """Print an event, unless it says what the last line said."""
        match event.name:
            case "log":
                self._log(str(event.data.get("file", "")), str(event.data.get("text", "")))
            case "status":
                self._status(job)
            case "progress":
                self._progress(job)

    def _log(self, file: str, text: str) -> None:
        if file != self._file:
            self._file = file
            _print(self._out, f"\nStreaming {file}\n{'=' * (10 + len(file))}\n")
        self._out.write(text if text.endswith("\n") else f"{text}\n")
        self._out.flush()

    def _status(self, job: ServiceJob) -> None:
        status, detail, _ = job.standing()
        stands = headline(status, detail)
        if stands != self._stood:
            self._stood = stands
            _print(self._aside, stands)

    def _progress(self, job: ServiceJob) -> None:
        # The rate changes all the time; a line is worth what was counted.
        words = figures(job.standing()[2])
        counts = ", ".join(words[:3])
        if counts != self._counts:
            self._counts = counts
            _print(self._aside, ", ".join(words))


def _print(out: TextIO, line: str) -> None:
    out.write(f"{line}\n")
    out.flush()
