"""The Python that a deployment's scorers run on: found or built before the first of them starts.

The way of a deployment through this package: `asked` says what is asked for (its own environment, or what its MLflow
model was saved with), `satisfied` whether the worker's own Python has that already, `pythons` finds an interpreter of
the version asked for, `build` makes an environment of it by uv (or by conda) once for all who ask the same.
"""

from __future__ import annotations

from gristmill_workers.environments.prepare import prepare_environment
from gristmill_workers.environments.scorer_python import ScorerPython

__all__ = ["ScorerPython", "prepare_environment"]
