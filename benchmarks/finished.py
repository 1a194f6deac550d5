"""Jobs that have ended, as a server keeps them: written into a workspace without having run."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gristmill import spec
from gristmill_scheduler.jobs.record import JobRecord, State
from gristmill_scheduler.jobs.records import Records
from gristmill_storage.files import open_store
from gristmill_storage.workspace import Workspace


def write(workspace: Path, count: int) -> None:
    """Write the records of so many jobs."""
    records = Records(Workspace(open_store(str(workspace))).documents("jobs"))
    with ThreadPoolExecutor(8) as pool:
        for _ in pool.map(lambda number: records.create(_record(number)), range(count)):
            pass


def _record(number: int) -> JobRecord:
    """Return a job that ended as most do; one in ten failed."""
    name = f"words-{number:05d}"
    output = f"/data/azureml/{name}/score"
    job = spec.Job(
        name=name,
        deployment=spec.Deployment(model=spec.Model(path="/m"), compute="local"),
        input=spec.Input(uri="/data/in"),
        output=spec.Output(folder=output),
        submitted=1_700_000_000.0 + number,
    )
    counts = {"items": {"succeeded": 20, "failed": 0}, "mini_batches": {"planned": 2, "done": 2}, "rows": 20}
    document = {**counts, "status": "Completed", "seconds": {"total": 3.2, "queue": 0.4}, "scorers": 2, "files": []}
    failed = number % 10 == 0
    error = {"class": "InitFailed", "message": "init() failed", "detail": "Traceback ...\n" * 20} if failed else None
    return JobRecord(
        job=job,
        folder=f"{output}/.gristmill/{name}",
        endpoint="words",
        deployment="counter",
        deployment_version=3,
        by="owner",
        request_id=f"request-{number}",
        inputs={"texts": {"type": "uri_folder", "path": "upload:" + "ab" * 32}},
        state=State.ENDED,
        started=job.submitted + 1,
        ended=job.submitted + 4,
        result={
            "status": "Failed" if failed else "Completed",
            "error": error,
            "output": f"{output}/predictions.csv",
            "summary": f"{output}/summary.json",
            "errors": None,
            **counts,
            "document": document,
        },
    )
