"""The front door of Gristmill in Python: `run` a job, `resume` one, try what failed again, `verify` what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gristmill import asking, spec
from gristmill.addresses import job_folder
from gristmill.errors import Mistake
from gristmill.job import Job
from gristmill.local.requirements import require_local
from gristmill.local.session import Plan, Session
from gristmill.request import DeploymentLike, Request
from gristmill.settings import ProcessSettings
from gristmill.states import JobStatus
from gristmill.unfinished import find_complete, find_job


def run(
    deployment: DeploymentLike | None = None,
    *,
    input: str | Path,  # noqa: A002 - the word for it everywhere
    output: str | Path,
    model: str | Path | None = None,
    scoring_script: str | Path | None = None,
    code: str | Path | None = None,
    environment: str | Path | Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    overrides: Sequence[str] = (),
    input_type: str | None = None,
    env: str = "auto",
    overwrite: bool = False,
    job_name: str | None = None,
) -> Job:
    """Score a folder of files; return the job at once, while it runs in processes of its own.

    Args:
        deployment: path of a deployment's YAML, its content as a mapping, or a `spec.Deployment`. Without one, `model`
            and `scoring_script` make one, and the output is CSV with a header and commas.
        input: path or URL of what is scored.
        output: path or URL of the folder for the results, or of the output file in it (`scores.csv`).
        model: path or URL of the model; stands in for the deployment's own.
        scoring_script: path of the script with init() and run(); below `code` when that is given.
        code: folder of what the script imports; None: the script's own folder.
        environment: a conda file, a requirements.txt, or an environment as in a deployment's YAML.
        settings: a deployment's `settings`, as in YAML; they win over the deployment's own.
        overrides: texts of `--set`, such as "settings.mini_batch_size=50".
        input_type: `uri_folder` or `uri_file`; None: what is there.
        env: which Python scores: `auto`, `inherit` or `model`.
        overwrite: whether an output that exists is replaced.
        job_name: the job's name; None: a new one.

    Raises:
        Mistake: something given cannot be used; nothing was started. Some of it shows only when the job is looked at
            whole, and is then raised by `Job.wait`.

    """
    request = Request(
        deployment=deployment,
        input=str(input),
        output=str(output),
        model=_text(model),
        scoring_script=_text(scoring_script),
        code=_text(code),
        environment=environment if isinstance(environment, Mapping) else _text(environment),
        settings=settings or {},
        overrides=tuple(overrides),
        input_type=input_type,
        environment_mode=env,
        overwrite=overwrite,
        job_name=job_name,
    )
    process = _process()
    job = request.job()
    folder = job_folder(job.output.folder, job.name)
    return _start(job.name, folder, job, {"command": "submit", "job": spec.to_json(job)}, process)


def resume(path: str | Path) -> Job:
    """Go on with a job that was cancelled or failed; what it scored is not scored again.

    Args:
        path: the job's output folder (its last unfinished job is meant), or the job's own folder below `.gristmill/`.

    Raises:
        JobNotFound: there is no unfinished job.
        Mistake: another process is running it.

    """
    return _go_on(path)


def salvage(path: str | Path) -> Job:
    """Publish what is finished of a job that nobody runs; nothing more is scored.

    Args:
        path: as for `resume`.

    Raises:
        JobNotFound: there is no unfinished job.
        Mistake: another process is running it.

    """
    return _go_on(path, cancel={"keep_partial": True})


def retry_failed(path: str | Path) -> Job:
    """Score the failed items of a completed job again; return the job that does it.

    Its results take their places in the same output, which is replaced at the end, and what fails again stays in
    errors.jsonl.

    Args:
        path: the job's output folder (its last job is meant), or the job's own folder below `.gristmill/`.

    Raises:
        JobNotFound: there is no job.
        Mistake: the job is not complete, or nothing of it failed.

    """
    process = _process()
    folder, job = find_complete(str(path))
    standing = asking.ask("show", folder)
    if standing["status"] != JobStatus.COMPLETED:
        raise Mistake(
            f"job {standing['name']} is not complete ({standing['status']}); go on with it: gristmill job resume {path}"
        )
    if not standing["items"]["failed"]:
        raise Mistake(f"job {standing['name']}: no item failed; there is nothing to try again")
    name, begun = standing["retry"]["name"], standing["retry"]["begun"]
    own = job_folder(folder.rsplit("/", 2)[0], name)
    compute = spec.own_compute(name)
    command = {"command": "retry", "folder": folder, "job": name, "compute": compute}
    if begun:
        command = {"command": "resume", "folder": own, "compute": compute}
    return _start(name, own, job, command, process)


def verify(path: str | Path) -> dict[str, Any]:
    """Compare a job's output with its manifest and index, from storage alone.

    Args:
        path: the job's output folder (its last job is meant), or the job's own folder below `.gristmill/`.

    Returns:
        "job", "status", "ok", "checked" (counts), and "faults": a sentence for each thing that is wrong.

    Raises:
        JobNotFound: there is no job.

    """
    folder, _ = find_complete(str(path))
    return asking.verify(folder)


def _go_on(path: str | Path, **more: Any) -> Job:
    """Begin an unfinished job again; `more`: what the scheduler is told beside that."""
    process = _process()
    folder, job = find_job(str(path))
    name = job.name if job is not None else folder.rsplit("/", 1)[-1]
    command = {"command": "resume", "folder": folder, "compute": spec.own_compute(name), **more}
    return _start(name, folder, job, command, process)


def _start(name: str, folder: str, job: spec.Job | None, command: Mapping[str, Any], process: ProcessSettings) -> Job:
    deployment = job.deployment if job is not None else spec.Deployment()
    # One slot more than instances: the aggregator is a task like them.
    slots = deployment.instance_count + 1
    blanks = 0 if job is None else _blanks(job)
    compute = spec.own_compute(name)
    plan = Plan(name=name, folder=folder, compute=compute, slots=slots, blanks=blanks, command=command)
    return Job(
        Session(plan, settings=process),
        settings=deployment.settings,
        output_folder=job.output.folder if job is not None else folder.rsplit("/", 2)[0],
    )


def _blanks(job: spec.Job) -> int:
    """Return how many scorers may be started before the job is looked at: those that run on this Python.

    What a model without code asks for is not looked at here: that this Python has it is a guess.
    """
    deployment, mode = job.deployment, job.environment_mode
    script = deployment.code_configuration is not None
    likely = deployment.environment is None and (script or mode is spec.EnvironmentMode.AUTO)
    own = mode is spec.EnvironmentMode.INHERIT or likely
    bare = not deployment.environment_variables
    return deployment.instance_count * deployment.settings.max_concurrency_per_instance if own and bare else 0


def _process() -> ProcessSettings:
    process = ProcessSettings.read()
    require_local(embedded=not process.redis_url)
    return process


def _text(value: str | Path | None) -> str | None:
    return None if value is None else str(value)
