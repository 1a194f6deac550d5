"""Jobs as MLflow runs, for a process without MLflow: a child has it, and is asked by lines of JSON over a pipe.

MLflow takes seconds and hundreds of megabytes to import. The child (`tracking_child.py`) is started when something is
to be written, and ended when that was the last thing for a while. It ends by itself when this process has gone.

    {"run_id": "" or the known one, "run": {...} or null, "points": [[milliseconds, step, {metric: value}], ...],
     "end": {...} or null}                                  what is asked; `tracking_runs.py` says what is in these
    {"run_id": "...", "experiment_id": "...", "note": ""}   the answer, or
    {"refused": "why"}, {"failed": "why"}                   it can never be done, or not now
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final

from gristmill.errors import Mistake, StorageFailed

#: Seconds that an answer is waited for; MLflow's import and the tables of a new database are in that.
ANSWER_SECONDS: Final = 120.0

#: Seconds that a child has to end by itself.
_LEAVE_SECONDS: Final = 1.0

#: What the child's MLflow is told unless the user says otherwise: it repeats calls for four minutes by itself, and
#: reports its use to its makers.
_DEFAULTS: Final = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}

#: The child. MLflow's remarks on its own future are nobody's business here.
CHILD: Final = (sys.executable, "-P", "-W", "ignore", "-m", "gristmill_storage.tracking_child")


def is_possible() -> bool:
    """Return whether MLflow is installed."""
    return find_spec("mlflow") is not None


class Tracker:
    """Writes runs. One thread asks; `close` may come from another."""

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        command: Sequence[str] = CHILD,
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        """Take the child's environment, whose MLFLOW_TRACKING_URI says where runs are; nothing is started yet.

        Args:
            environment: whole
            command: the child's
            seconds: that an answer is waited for

        """
        self._environment = {**_DEFAULTS, **environment}
        self._command = list(command)
        self._seconds = seconds
        self._process: subprocess.Popen[bytes] | None = None
        self._heard = b""
        self._closed = False

    @property
    def pid(self) -> int | None:
        """The child's process id; None while there is none."""
        return self._process.pid if self._process is not None else None

    def write(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Write what a request says; return the run's "run_id" and "experiment_id", and a "note" for people.

        Raises:
            Mistake: the tracking server refuses it, and will again.
            StorageFailed: it cannot be reached, failed, or does not answer in time.

        """
        try:
            answer = self._ask(json.dumps(request).encode() + b"\n")
        except (OSError, ValueError) as error:
            self.rest()
            raise StorageFailed(f"what writes MLflow runs has ended: {error}") from error
        if "refused" in answer:
            raise Mistake(str(answer["refused"]))
        if "failed" in answer:
            raise StorageFailed(str(answer["failed"]))
        return answer

    def rest(self) -> None:
        """End the child, if there is one; the next request starts another."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    def close(self) -> None:
        """End the child at once, whatever it is doing: a request fails that waits for it, and each that comes later."""
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()

    def _ask(self, line: bytes) -> dict[str, Any]:
        process = self._started()
        assert process.stdin is not None
        deadline = time.monotonic() + self._seconds
        view = memoryview(line)
        while view:
            view = view[process.stdin.write(view) or 0 :]
        answer: dict[str, Any] = json.loads(self._line(process, deadline))
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        if self._closed:
            raise OSError("it was closed")
        if self._process is None or self._process.poll() is not None:
            self.rest()
            self._heard = b""
            self._process = subprocess.Popen(
                self._command,
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=self._environment,
                start_new_session=True,
            )
        return self._process

    def _line(self, process: subprocess.Popen[bytes], deadline: float) -> bytes:
        """Return the child's next line.

        Raises:
            OSError: it ended, or says nothing until the deadline.

        """
        assert process.stdout is not None
        while b"\n" not in self._heard:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
                process.kill()
                raise OSError(f"no answer within {self._seconds:g} s")
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                raise OSError("it ended without an answer")
            self._heard += data
        line, _, self._heard = self._heard.partition(b"\n")
        return line
