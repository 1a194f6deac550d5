"""The closer look: what a deployment asks for, whether the worker's own Python has it, and what is built if not.

Imported when there is something to look at: it needs what reads requirements and environments.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from gristmill import spec
from gristmill.settings import ProcessSettings
from gristmill.spec import EnvironmentMode
from gristmill_workers.environments.asked import Asked, what_is_asked
from gristmill_workers.environments.build import Built, build
from gristmill_workers.environments.conda import conda_tool
from gristmill_workers.environments.satisfied import unmet
from gristmill_workers.environments.scorer_python import ScorerPython, nothing, own


def choose(
    deployment: spec.Deployment,
    mode: EnvironmentMode,
    *,
    mlflow_model: Path | None,
    settings: ProcessSettings,
    log: Callable[[str], None],
    wanted: Callable[[], bool],
) -> ScorerPython:
    """Do what `prepare_environment` says, where something is asked for."""
    has_conda = bool(conda_tool(settings.environment))
    asked = what_is_asked(deployment, mode, mlflow_model, has_conda=has_conda)
    if asked is None:
        return own(nothing(deployment.environment))
    if asked.requirements.skipped:
        log(f"{asked.source}: passed over, not needed here: {', '.join(asked.requirements.skipped)}")
    reason = "the job is to run on the one asked for"
    if mode is EnvironmentMode.AUTO:
        reason = unmet(asked, no_code=deployment.code_configuration is None)
        if not reason:
            return own(f"the worker's own has all that {asked.source} asks for")
        log(f"the worker's own Python does not do: {reason}")
    return _built(asked, build(asked, settings, log, wanted), reason)


def _built(asked: Asked, built: Built, reason: str) -> ScorerPython:
    origin = "from the cache" if built.reused else "built now"
    return ScorerPython(
        executable=built.executable,
        python=built.python,
        origin="built",
        key=built.key,
        why=f"environment {built.key} ({origin}) holds what {asked.source} asks for; {reason}",
    )
