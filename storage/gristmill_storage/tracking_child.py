"""The process that has MLflow and writes runs for another (see `tracking.py`): a line is asked, a line is answered."""

from __future__ import annotations

from gristmill.local.owner import end_with_owner

if __name__ == "__main__":
    # Before anything that takes time is imported.
    end_with_owner()

import contextlib
import json
import logging
import os
import sys
from typing import Any, Final

from gristmill import log_lines
from gristmill.errors import GristmillError, Mistake
from gristmill.settings import ProcessSettings
from gristmill_storage.tracking_runs import write

#: Jobs come first: this much nicer than the scheduler, which waits for nothing of it.
_NICE: Final = 5

log = logging.getLogger("gristmill.tracking")


def main() -> None:
    """Answer until the end of stdin."""
    with contextlib.suppress(OSError):
        os.nice(_NICE)
    # What libraries print is no answer.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    settings = ProcessSettings.read()
    log_lines.begin("tracking", settings, level=logging.WARNING)
    uri = settings.environment["MLFLOW_TRACKING_URI"]
    for line in sys.stdin.buffer:
        answers.write(json.dumps(_answer(uri, json.loads(line))).encode() + b"\n")
    # MLflow's threads would be waited for, and have nothing to do any more.
    os._exit(0)


def _answer(uri: str, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return write(uri, request)
    except Mistake as error:
        return {"refused": str(error)}
    except GristmillError as error:
        return {"failed": str(error)}
    except Exception as error:
        # A driver of the artifacts' store may be missing, or raise what it likes.
        log.exception("a run cannot be written")
        return {"failed": f"{type(error).__name__}: {error}".partition("\n")[0]}


if __name__ == "__main__":
    main()
