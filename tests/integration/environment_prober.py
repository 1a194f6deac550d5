"""A process that makes one environment ready: what the tests of building start, two at once, or to kill it."""

from __future__ import annotations

import json
import sys

from gristmill import spec
from gristmill.settings import ProcessSettings
from gristmill_workers.environments import prepare_environment


def main() -> None:
    """Build what the requirement lines in the arguments ask for; print each log line, then the result as JSON."""
    sys.stdout.reconfigure(line_buffering=True)
    environment = spec.Environment(requirements=tuple(sys.argv[1:]))
    code = spec.CodeConfiguration(code="/code", scoring_script="score.py")
    python = prepare_environment(
        spec.Deployment(environment=environment, code_configuration=code),
        spec.EnvironmentMode.MODEL,
        mlflow_model=None,
        settings=ProcessSettings.read(),
        log=lambda line: sys.stdout.write(f"{line}\n"),
    )
    sys.stdout.write(json.dumps({"executable": str(python.executable), "why": python.why}) + "\n")


if __name__ == "__main__":
    main()
