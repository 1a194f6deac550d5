"""Which Python a deployment's scorers run on: the worker's own, or one built for it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from gristmill import spec
from gristmill.settings import ProcessSettings
from gristmill.spec import EnvironmentMode
from gristmill_workers.abandoning import always
from gristmill_workers.environments.scorer_python import ScorerPython, nothing, own


def prepare_environment(
    deployment: spec.Deployment,
    mode: EnvironmentMode,
    *,
    mlflow_model: Path | None,
    settings: ProcessSettings,
    log: Callable[[str], None],
    wanted: Callable[[], bool] = always,
) -> ScorerPython:
    """Return the Python for a deployment's scorers, built if need be.

    Args:
        deployment: The deployment.
        mode: How its Python is chosen.
        mlflow_model: The model's folder, if it is an MLflow model.
        settings: The process's settings.
        log: Called with each line that a reader of the job's log should see.
        wanted: Asked now and then while something is built; once it says False, the build is ended and fails.

    Raises:
        EnvironmentFailed: it cannot be had; `detail` holds the end of a failed build's log.

    """
    if mode is EnvironmentMode.INHERIT:
        return own("the job is to run on the worker's own")
    if not _asks(deployment, mode, mlflow_model):
        return own(nothing(deployment.environment))
    choosing = import_module("gristmill_workers.environments.choosing")
    python: ScorerPython = choosing.choose(
        deployment, mode, mlflow_model=mlflow_model, settings=settings, log=log, wanted=wanted
    )
    return python


def _asks(deployment: spec.Deployment, mode: EnvironmentMode, mlflow_model: Path | None) -> bool:
    """Return whether anything may ask for a certain Python: to look closer takes longer than many a job."""
    given = deployment.environment
    if given is not None and (given.conda is not None or given.requirements is not None):
        return True
    return mlflow_model is not None and (deployment.code_configuration is None or mode is EnvironmentMode.MODEL)
