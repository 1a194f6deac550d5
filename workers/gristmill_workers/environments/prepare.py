"""Which Python a deployment's scorers run on: the worker's own, or one built for it."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gristmill import spec
from gristmill.settings import ProcessSettings
from gristmill.spec import EnvironmentMode
from gristmill_workers.abandoning import always
from gristmill_workers.environments.asked import Asked, what_is_asked
from gristmill_workers.environments.build import Built, build
from gristmill_workers.environments.conda import conda_tool
from gristmill_workers.environments.satisfied import unmet


@dataclass(frozen=True, kw_only=True)
class ScorerPython:
    """The Python that runs a deployment's scorers."""

    executable: Path
    #: "3.8.18"
    python: str
    #: The worker's own, or one that was built.
    origin: Literal["worker", "built"]
    #: The built environment's name in the cache, a hash of what it holds; "" for the worker's own.
    key: str = ""
    #: Why this one, in one sentence for the log.
    why: str


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
        return _own("the job is to run on the worker's own")
    has_conda = bool(conda_tool(settings.environment))
    asked = what_is_asked(deployment, mode, mlflow_model, has_conda=has_conda)
    if asked is None:
        return _own(_nothing(deployment.environment))
    if asked.requirements.skipped:
        log(f"{asked.source}: passed over, not needed here: {', '.join(asked.requirements.skipped)}")
    reason = "the job is to run on the one asked for"
    if mode is EnvironmentMode.AUTO:
        reason = unmet(asked, no_code=deployment.code_configuration is None)
        if not reason:
            return _own(f"the worker's own has all that {asked.source} asks for")
        log(f"the worker's own Python does not do: {reason}")
    return _built(asked, build(asked, settings, log, wanted), reason)


def _own(why: str) -> ScorerPython:
    return ScorerPython(executable=Path(sys.executable), python=platform.python_version(), origin="worker", why=why)


def _nothing(environment: spec.Environment | None) -> str:
    """Return why the worker's own Python runs a deployment that asks for nothing that can be built."""
    named = environment and (environment.reference or environment.image)
    if named:
        return f"the worker's own: {named} is recorded, and nothing can be built from it here"
    return "the worker's own: the deployment asks for no other"


def _built(asked: Asked, built: Built, reason: str) -> ScorerPython:
    origin = "from the cache" if built.reused else "built now"
    return ScorerPython(
        executable=built.executable,
        python=built.python,
        origin="built",
        key=built.key,
        why=f"environment {built.key} ({origin}) holds what {asked.source} asks for; {reason}",
    )
