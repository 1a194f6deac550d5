"""What must be there before the first scorer starts: the model, the code, a Python, and a folder of its own."""

from __future__ import annotations

import importlib.util
import itertools
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gristmill.errors import MissingExtra
from gristmill.settings import ProcessSettings
from gristmill.spec import Deployment, Job, OutputAction, RowFormat
from gristmill_storage.files import is_local, normalize
from gristmill_storage.reach import Reach
from gristmill_workers.abandoning import abandonable, always
from gristmill_workers.environments import ScorerPython, prepare_environment
from gristmill_workers.fetching import CODE, fetched
from gristmill_workers.job_logs import JobLogs
from gristmill_workers.models import ModelFolder, find_model, linked
from gristmill_workers.pool import Pool
from gristmill_workers.scorer_environment import available_cores, scorer_variables
from gristmill_workers.scorer_process import Launch, ScorerProcess


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What every scorer of an instance has in common."""

    python: ScorerPython
    model: ModelFolder
    #: The folder of the scoring script and of what it imports; None with no code.
    code: Path | None

    def housed(self, folder: Path) -> Prepared:
        """Return it with what scorers find in the folder that they live in."""
        return replace(self, model=linked(self.model, folder))


def prepare(
    job: Job,
    *,
    scratch: Path,
    settings: ProcessSettings,
    log: Callable[[str], None],
    wanted: Callable[[], bool] = always,
) -> Prepared:
    """Make the model, the code and the Python ready; `wanted` is asked now and then whether that goes on.

    Raises:
        Abandoned: `wanted` said no.
        GristmillError: one of them cannot be had; the message names it and the fix.

    """
    if job.deployment.settings.output_format is RowFormat.PARQUET:
        _require_pyarrow()
    return abandonable(lambda: _prepare(job, scratch, settings, log, wanted), wanted)


def _prepare(
    job: Job, scratch: Path, settings: ProcessSettings, log: Callable[[str], None], wanted: Callable[[], bool]
) -> Prepared:
    reach = Reach.of(job.allow_hosts)
    model = find_model(job.deployment, scratch=scratch, settings=settings, log=log, reach=reach)
    code = prepare_code(job.deployment, settings=settings, log=log, reach=reach)
    python = prepare_environment(
        job.deployment,
        job.environment_mode,
        mlflow_model=model.mlflow_path,
        settings=settings,
        log=log,
        wanted=wanted,
    )
    log(f"scorers run on Python {python.python}: {python.why}")
    return Prepared(python=python, model=model, code=code)


def prepare_code(
    deployment: Deployment, *, settings: ProcessSettings, log: Callable[[str], None], reach: Reach | None = None
) -> Path | None:
    """Return the folder of a deployment's code on this machine, fetched if it is elsewhere; None with no code.

    Raises:
        Mistake: there is nothing where the deployment says.
        StorageFailed: it cannot be fetched.

    """
    given = deployment.code_configuration
    if given is None:
        return None
    if is_local(given.code):
        return Path(normalize(given.code, Path.cwd()))
    return fetched(given.code, CODE, settings, log, reach)


def _require_pyarrow() -> None:
    if importlib.util.find_spec("pyarrow") is None:
        raise MissingExtra("settings.output_format: parquet", "parquet")


class Launcher:
    """Makes the launch of one scorer after another, each with a number and folders of its own."""

    def __init__(
        self,
        job: Job,
        prepared: Prepared,
        *,
        root: str,
        logs: JobLogs,
        scratch: Path,
        staging: Path,
        settings: ProcessSettings,
        share: int,
        kept: dict[int, ScorerProcess] | None = None,
        log_dir: Callable[[str], Path] | None = None,
    ) -> None:
        """Take the job, what was prepared, and where everything goes; `share` instances use this machine's cores.

        Scorers that were kept are taken out of `kept`, by their places. `log_dir` tells where a process, by its name,
        finds its job's logs, whichever job that is; None: no scorer outlives this job.
        """
        self._job = job
        self._prepared = prepared
        self._root = root
        self._logs = logs
        self._scratch = scratch
        #: Where the files of an attempt lie until it is judged.
        self.staging = staging
        self._settings = settings
        #: Cores that all scorers together may use.
        self.cores = max(1, available_cores() // share)
        self._kept = kept or {}
        self._log_dir = log_dir
        #: Says what becomes of the scorers when all went well.
        self.leave: Callable[[Pool], None] = Pool.stop
        self._numbers = itertools.count(1 + max((process.launch.number for process in self._kept.values()), default=-1))

    def __call__(self, place: int) -> Launch:
        """Return the next scorer's launch; `place` is which of the instance's scorers it is, and decides on its GPU."""
        process = self._kept.pop(place, None)
        if process is not None:
            launch = self._launch(place, process.launch.number, process)
            if launch.born_alike(process.launch):
                return launch
            self._logs.system.info("%s was begun otherwise than this job asks for: it ends", launch.start["process"])
            process.kill()
            process.close()
        return self._launch(place, next(self._numbers))

    def _launch(self, place: int, number: int, kept: ScorerProcess | None = None) -> Launch:
        folder = self._scratch / f"process{number:03d}"
        output = folder / "output"
        output.mkdir(parents=True, exist_ok=True)
        return Launch(
            python=self._prepared.python.executable,
            variables=self._variables(place, folder, output),
            start=self._start(number, folder, output),
            folder=folder,
            stdout=self._logs.output("stdout", number),
            stderr=self._logs.output("stderr", number),
            number=number,
            lasting=self._log_dir is not None,
            kept=kept,
        )

    def _variables(self, place: int, folder: Path, output: Path) -> Mapping[str, str]:
        return scorer_variables(
            self._job.deployment,
            base=self._settings.environment,
            azureml_model_dir=self._prepared.model.azureml_model_dir,
            output_dir=output,
            scratch=folder,
            cores=self.cores,
            process=place,
            python=self._prepared.python.executable,
        )

    def _start(self, number: int, folder: Path, output: Path) -> dict[str, Any]:
        """Return the `start` frame (see `scorer/child.py`)."""
        deployment, process = self._job.deployment, f"process{number:03d}"
        frame: dict[str, Any] = {
            "type": "start",
            "root": self._root,
            "output_dir": str(output),
            "staging_dir": str(self.staging),
            "log_dir": str(self._log_dir(process) if self._log_dir is not None else self._logs.user),
            "node": self._logs.node,
            "process": process,
            "logging_level": deployment.settings.logging_level,
            "format": row_format(deployment),
            "argv": ["--logging_level", deployment.settings.logging_level.upper()],
            "working_dir": str(folder),
            "parent": os.getpid(),
            "python_path": _python_path(deployment),
        }
        code = deployment.code_configuration
        if code is not None:
            return {**frame, "kind": "script", "code": str(self._prepared.code), "script": code.scoring_script}
        model = {
            "path": str(self._prepared.model.mlflow_path),
            "predict_per": deployment.settings.predict_per.value,
            "rows_per_predict": deployment.settings.rows_per_predict,
        }
        return {**frame, "kind": "mlflow", "model": model}


def _python_path(deployment: Deployment) -> list[str]:
    """Return the folders of a deployment's own PYTHONPATH; a node's never reaches a scorer."""
    given = deployment.environment_variables.get("PYTHONPATH", "")
    return [folder for folder in given.split(os.pathsep) if folder]


def row_format(deployment: Deployment) -> dict[str, Any]:
    """Return how scorers write rows: the `format` of a `start` frame."""
    settings = deployment.settings
    kind = settings.output_format.value if settings.output_action is OutputAction.APPEND_ROW else "none"
    return {"kind": kind, "header": settings.header, "delimiter": settings.delimiter}
