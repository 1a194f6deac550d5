"""The failed items of a completed job, made into a job of their own, which brings their rows into the same output."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

from gristmill.counts import counted
from gristmill.errors import AlreadyExists, Corrupt, Mistake, NotFound
from gristmill.spec import Job, OutputAction, to_json
from gristmill_storage import job_folder
from gristmill_storage.documents import document_or_none
from gristmill_storage.files import Store, open_store
from gristmill_storage.manifest import ManifestReader, ManifestWriter, MiniBatch
from gristmill_storage.output_index import IndexReader, Record
from gristmill_storage.retry_plan import RunWriter, runs_of


def begin_retry(folder: Store, job: Job, *, name: str) -> tuple[Job, Store]:
    """Make the job that scores a completed job's failed items again; return it and its folder.

    Its plan is whole when this returns, so that it is led like a job that is resumed. Each of its mini-batches is a
    run of failed items of one mini-batch of the other (see `retry_plan`). It deletes nothing of the other job.

    Args:
        folder: The completed job's folder.
        job: The completed job, or what it has become since (another compute, mended code).
        name: The new job's name.

    Raises:
        Mistake: the job is not complete, nothing of it failed, its output is not there any more, or the name is taken.

    """
    _check_complete(folder, job)
    index = _index(folder)
    _check_output(folder, job, index)
    retry = replace(job, name=name, retry_of=job.name, submitted=time.time())
    place = open_store(job_folder.url(job.output.folder, name))
    if place.exists(job_folder.SPEC):
        raise Mistake(_taken(retry))
    # What an earlier call left that was ended before there was a job.
    place.delete_tree(job_folder.MANIFEST)
    if not _plan(folder, place, index):
        raise Mistake(f"{folder.url}: nothing of job {job.name} failed; there is nothing to retry")
    try:
        place.create(job_folder.SPEC, json.dumps(to_json(retry), indent=1).encode())
    except AlreadyExists as error:
        raise Mistake(_taken(retry)) from error
    return retry, place


def _taken(job: Job) -> str:
    return f"job name: {job.name} is taken in {job.output.folder}; give another name, or resume that job"


def _check_complete(folder: Store, job: Job) -> None:
    if job.retry_of:
        raise Mistake(f"{folder.url}: job {job.name} is a retry itself; retry {job.retry_of}, whose output it is")
    status = (document_or_none(folder, job_folder.RESULT) or {}).get("status", "not ended")
    if status != "Completed":
        raise Mistake(f"{folder.url}: job {job.name} is {status}, not Completed; use job resume")


def _index(folder: Store) -> IndexReader:
    try:
        return IndexReader(folder)
    except (NotFound, Corrupt) as error:
        message = f"{error.message}; without it nobody knows whose the output's rows are: run the job anew"
        raise Mistake(message) from error


def _check_output(folder: Store, job: Job, index: IndexReader) -> None:
    """Refuse before anything is scored what could not be brought in afterwards."""
    settings, name = job.deployment.settings, index.header.output
    now = settings.output_file_name if settings.output_action is OutputAction.APPEND_ROW else None
    if (now, settings.output_format) != (name, index.header.format):
        raise Mistake(
            f"settings: job {job.name} published {name or 'no rows'} as {index.header.format}, and would give "
            f"{now or 'no rows'} as {settings.output_format} now; leave output_action, output_file_name and "
            "output_format as they were"
        )
    if name is None:
        return
    output = open_store(job.output.folder)
    try:
        size = output.size(name)
    except NotFound as error:
        raise Mistake(f"{folder.url}: the output {name} is gone from {output.url}; run the job anew") from error
    if size != index.size:
        raise Mistake(
            f"output: {name} in {output.url} was changed since job {job.name} published it "
            f"({counted(size, 'byte')}, not {index.size:,}); run the job anew"
        )


def _plan(folder: Store, place: Store, index: IndexReader) -> int:
    """Write the retry's manifest and what it maps to; return how many mini-batches it has."""
    # A clock that stands still: the same plan is always cut into the same chunks.
    manifest = ManifestWriter(place, clock=lambda: 0.0)
    with ExitStack() as stack:
        runs = RunWriter(place)
        stack.callback(runs.close)
        for record, items in _failed(folder, index):
            for run in runs_of(record):
                manifest.add(MiniBatch(manifest.next, items[run.first : run.end], 0))
                runs.add(run)
        if manifest.next:
            runs.publish()
            manifest.close()
    return manifest.next


def _failed(folder: Store, index: IndexReader) -> Iterator[tuple[Record, tuple[str, ...]]]:
    """Yield the mini-batches of which items failed, with their items."""
    planned = ManifestReader(folder).mini_batches()
    for record in index.records():
        mini_batch = next(planned, None)
        if mini_batch is None or mini_batch.number != record.mini_batch or len(mini_batch.items) != record.items:
            raise Corrupt(f"{folder.url}: mini-batch {record.mini_batch} is not the one that the manifest has")
        if record.failed:
            yield record, mini_batch.items
