"""What a job must pass before anything of it runs: a refusal costs nothing and names the field and the fix."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace

from gristmill.errors import Corrupt, Mistake, ModelNotFound, NotFound, OutputExists
from gristmill.spec import Job, OutputAction, to_json
from gristmill_scheduler.exclusion import Exclusion
from gristmill_storage import documents, job_folder
from gristmill_storage.documents import document_or_none, read_document
from gristmill_storage.files import Store, open_store
from gristmill_storage.listing import check_input
from gristmill_storage.reach import Reach

log = logging.getLogger("gristmill.scheduler")


def admit(job: Job, *, environment: Mapping[str, str], exclusion: Exclusion | None = None) -> Store:
    """Check a new job whole and make its folder; return the folder's store.

    Args:
        job: The job.
        environment: This process's.
        exclusion: Knows whether several schedulers may write to the output's store; None: there is only one.

    Raises:
        Mistake: the job cannot be run as it was asked for.

    """
    check_input(
        job.input,
        recursive=job.deployment.settings.recursive,
        output_folder=job.output.folder,
        reach=Reach.of(job.allow_hosts),
    )
    check_output(job)
    if exclusion is not None:
        exclusion.check(job.output.folder)
    _check_model(job, environment)
    folder = open_store(job_folder.url(job.output.folder, job.name))
    document = json.dumps(to_json(job), indent=1).encode()
    if folder.exists(job_folder.SPEC):
        # Of what a repetition says, its own span alone is new.
        known = {**read_document(folder, job_folder.SPEC), "traceparent": job.traceparent}
        if known == json.loads(document):
            return folder  # the same submission, repeated: a scheduler died between the two
        raise Mistake(f"job name: {job.name} is taken in {job.output.folder}; give another name, or resume that job")
    folder.create(job_folder.SPEC, document)
    return folder


def published_names(job: Job) -> tuple[str, ...]:
    """Return the names of the files that a job leaves in its output folder."""
    settings = job.deployment.settings
    rows = (settings.output_file_name,) if settings.output_action is OutputAction.APPEND_ROW else ()
    return (*rows, job_folder.OUTPUT_ERRORS, job_folder.OUTPUT_SUMMARY)


def check_output(job: Job) -> None:
    """Refuse a job whose output is there already.

    Raises:
        OutputExists: one of the files that the job is to write exists, and it may not overwrite.

    """
    if job.output.overwrite:
        return
    output = open_store(job.output.folder)
    for name in published_names(job):
        if output.exists(name):
            message = f"output: {name} exists in {job.output.folder}; give another folder, or allow --overwrite"
            raise OutputExists(message)


def _check_model(job: Job, environment: Mapping[str, str]) -> None:
    model = job.deployment.model
    if model is None or model.path or environment.get("MLFLOW_TRACKING_URI"):
        return
    if model.reference.startswith("azureml:"):
        raise ModelNotFound(
            f"model: {model.reference} is a reference into a registry, and MLFLOW_TRACKING_URI names none; "
            "give the model's path by --model PATH",
        )


def read_job(url: str) -> tuple[Job, Store]:
    """Return a job that was begun before, from its folder.

    Raises:
        JobNotFound: there is no job in that folder.

    """
    folder = open_store(url)
    return documents.read_job(folder), folder


def note_compute(job: Job, folder: Store) -> None:
    """Note where a job's instances are sent now, for whoever leads it next: `job.json` says where at first."""
    folder.replace(job_folder.LEAD, json.dumps({"compute": job.deployment.compute}).encode())


def read_led(url: str) -> tuple[Job, Store]:
    """Return a job that runs, on the compute where it runs, from its folder.

    Raises:
        JobNotFound: there is no job in that folder.

    """
    job, folder = read_job(url)
    try:
        return on_compute(job, str(read_document(folder, job_folder.LEAD)["compute"])), folder
    except NotFound:
        return job, folder
    except (Corrupt, KeyError) as error:
        log.warning("job %s: it is led on %s: %r", job.name, job.deployment.compute, error)
        return job, folder


def readmit(url: str) -> tuple[Job, Store]:
    """Return a job that ended before it was done, from its folder, to go on with it.

    Raises:
        JobNotFound: there is no job in that folder.
        Mistake: the job cannot go on: its output was published, or somebody else's is in its place.

    """
    job, folder = read_job(url)
    if _completed(folder):
        raise Mistake(f"{url}: job {job.name} is complete; there is nothing to resume")
    # What may be the job's own, whole or in part, is told by its bytes when the time comes; and a job that tries the
    # failed items of another one again writes over that one's output.
    if not (job.retry_of or any(map(folder.exists, (job_folder.PUBLISHING, job_folder.PARTIAL)))):
        check_output(job)
    return job, folder


def _completed(folder: Store) -> bool:
    result = document_or_none(folder, job_folder.RESULT)
    return result is not None and result.get("status") == "Completed"


def on_compute(job: Job, compute: str) -> Job:
    """Return the job with its instances sent to another compute."""
    return replace(job, deployment=replace(job.deployment, compute=compute))
