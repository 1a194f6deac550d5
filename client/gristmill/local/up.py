"""Brings the server of a workspace up in the background, once, and takes it down."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gristmill.errors import GristmillError
from gristmill.local import probe
from gristmill.local.programs import PYTHON
from gristmill.local.requirements import require_local
from gristmill.local.run_folder import RunFolder
from gristmill.local.service import LEAVE_SECONDS, SAVE_SECONDS, START_SECONDS, Service
from gristmill.local.service_wish import Wish
from gristmill.settings import ProcessSettings
from gristmill.states import ENDED

#: Seconds that a daemon is given beyond its own deadline, to end its children and say why.
_MORE_SECONDS: Final = LEAVE_SECONDS + SAVE_SECONDS + 2

#: Seconds that a daemon has to end after it was told to; then it is killed, and its children end by themselves.
_DOWN_SECONDS: Final = LEAVE_SECONDS + SAVE_SECONDS + 0.7

_LOOK_SECONDS: Final = 0.1


@dataclass(frozen=True, kw_only=True)
class Running:
    """A server that answers."""

    #: What its daemon published.
    document: Mapping[str, Any]
    #: Whether it was there before.
    before: bool


@dataclass(frozen=True, kw_only=True)
class Ended:
    """What was taken down."""

    #: The daemon's process id; None where there was none.
    pid: int | None
    #: Jobs that go on when the server is brought up again; None where nobody could say.
    unfinished: int | None = None


def bring_up(wish: Wish, run: RunFolder, settings: ProcessSettings) -> Running:
    """Return the server of a workspace, started in the background if there is none.

    Raises:
        GristmillError: it does not come up; everything that was started has ended.
        Mistake: the workspace, the host or the port cannot be used.

    """
    lock_or_running = _lock(run, time.monotonic() + START_SECONDS)
    if isinstance(lock_or_running, Running):
        return lock_or_running
    require_local(embedded=not settings.redis_url)
    try:
        daemon = _start(wish, run, settings, lock_or_running)
    finally:
        os.close(lock_or_running)
    try:
        document = _hear(daemon, run)
    except BaseException:
        _end(daemon)
        raise
    finally:
        assert daemon.stdout is not None
        daemon.stdout.close()
    # Nobody here waits for its end: it outlives this process, and Popen is not to complain of that.
    daemon.returncode = 0
    return Running(document=document, before=False)


def stay_up(wish: Wish, run: RunFolder, settings: ProcessSettings, *, tell: Any) -> int | Running:
    """Be the server's daemon, until SIGTERM or SIGINT; return the exit code, or the server that is there already.

    `tell` is called once, with what the daemon says when everything answers, or why it does not.
    """
    lock = _lock(run, time.monotonic() + START_SECONDS)
    if isinstance(lock, Running):
        return lock
    require_local(embedded=not settings.redis_url)
    return Service(wish, settings=settings, tell=tell).run(lock)


def take_down(run: RunFolder) -> Ended:
    """End the server of a workspace in order; return when all of it is gone.

    Raises:
        GristmillError: it cannot be ended.

    """
    unfinished = _unfinished(run)
    pid = run.tell(signal.SIGTERM)
    deadline = time.monotonic() + _DOWN_SECONDS
    killed = False
    while (holder := run.holder()) is not None:
        # One that has just begun had not written down who it is, and was not told.
        pid = pid or run.tell(signal.SIGTERM)
        if time.monotonic() > deadline:
            if killed:
                raise GristmillError(f"the server (process {holder}) does not end, not even by SIGKILL")
            run.tell(signal.SIGKILL)
            killed, deadline = True, deadline + 1
        time.sleep(_LOOK_SECONDS)
    if pid:
        run.withdraw()
    return Ended(pid=pid, unfinished=unfinished)


def _lock(run: RunFolder, deadline: float) -> int | Running:
    """Return the lock of the run folder, or the server of who has it.

    Raises:
        GristmillError: somebody has it, and does not answer.

    """
    run.make()
    while (lock := run.claim()) is None:
        found = run.published()
        if found is not None and _ask(found, "/health"):
            return Running(document=found, before=True)
        if time.monotonic() > deadline:
            raise GristmillError(
                f"--workspace {run.workspace}: process {run.holder()} runs its server, which does not answer; see "
                f"{run.log}, or end it by `gristmill down`"
            )
        time.sleep(_LOOK_SECONDS)
    return lock


def _start(wish: Wish, run: RunFolder, settings: ProcessSettings, lock: int) -> subprocess.Popen[bytes]:
    command = [*PYTHON, "gristmill.local.daemon", "--wish", wish.to_json(), "--lock", str(lock)]
    with run.log.open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            env=dict(settings.environment),
            cwd=run.folder,
            pass_fds=(lock,),
            start_new_session=True,
        )


def _hear(daemon: subprocess.Popen[bytes], run: RunFolder) -> Mapping[str, Any]:
    """Return what a daemon published when everything answers.

    Raises:
        GristmillError: it says why that does not come to be, or nothing in time.

    """
    assert daemon.stdout is not None
    deadline = time.monotonic() + START_SECONDS + _MORE_SECONDS
    heard = b""
    while not heard.endswith(b"\n"):
        left = max(0.0, deadline - time.monotonic())
        data = os.read(daemon.stdout.fileno(), 65536) if select.select([daemon.stdout], [], [], left)[0] else b""
        if not data:
            raise GristmillError(f"the server's daemon ended without a word; see {run.log}", detail=_tail(run))
        heard += data
    event: dict[str, Any] = json.loads(heard)
    if event.pop("event") != "ready":
        raise GristmillError.from_json(event["error"])
    return event


def _end(daemon: subprocess.Popen[bytes]) -> None:
    """Let a daemon end what it has begun, and wait for that."""
    daemon.terminate()
    try:
        daemon.wait(_DOWN_SECONDS)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def _tail(run: RunFolder) -> str:
    return "\n".join(run.log.read_text("utf-8", "replace").splitlines()[-30:])


def _ask(found: Mapping[str, Any], path: str, *, token: str = "") -> dict[str, Any] | None:
    """Ask a server at the address that this machine reaches it at."""
    certificate = found.get("certificate")
    near = str(found.get("near") or found["url"])
    return probe.ask(near, path, token=token, certificate=Path(certificate) if certificate else None)


def _unfinished(run: RunFolder) -> int | None:
    """Return how many jobs are not over; None where the server does not say."""
    found = run.published()
    status = _ask(found, "/status", token=run.read_token()) if found else None
    if status is None:
        return None
    return sum(int(count) for name, count in (status.get("jobs") or {}).items() if name not in ENDED)
