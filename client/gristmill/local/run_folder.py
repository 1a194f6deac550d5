"""The folder `run` of a workspace: who runs a server of it here, where that is, and what its processes log.

lock           locked, and with the daemon's process id in it, for as long as the daemon lives
children.lock  locked for as long as one of its children lives, which may be a little longer
server.json    {"url", "pid", "token_file", "started", ...} while everything answers
certificate.pem  what the server shows, where it speaks TLS: commands on this machine know it by that
token          an owner's token, for commands on this machine; only its owner can read it
redis/         the embedded server's append-only file: the memory of jobs that run, which storage can replace
*.log          what the processes have to say
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
from pathlib import Path
from typing import Any, Final

from gristmill.addresses import local_path
from gristmill.errors import Mistake

#: Only its owner may enter.
_PRIVATE: Final = 0o700


class RunFolder:
    """The names in the folder, and its locks."""

    def __init__(self, workspace: Path) -> None:
        """Take the workspace; nothing is made yet."""
        self.workspace = workspace
        self.folder = workspace / "run"
        self.token = self.folder / "token"
        self.certificate = self.folder / "certificate.pem"
        self.memory = self.folder / "redis"
        self.log = self.folder / "up.log"
        self._lock = self.folder / "lock"
        self.children = self.folder / "children.lock"
        self._server = self.folder / "server.json"

    def make(self) -> None:
        """Make the folder.

        Raises:
            Mistake: that cannot be done.

        """
        try:
            self.workspace.parent.mkdir(parents=True, exist_ok=True)
            self.workspace.mkdir(exist_ok=True, mode=_PRIVATE)
            self.folder.mkdir(exist_ok=True, mode=_PRIVATE)
        except OSError as error:
            why = f"it cannot be made: {error.strerror}; give another folder"
            raise Mistake(f"--workspace {self.workspace}: {why}") from None

    def claim(self) -> int | None:
        """Lock the folder for a daemon; return the descriptor that holds the lock, None where another has it."""
        lock = self._locked(self._lock)
        if lock is not None:
            # The process id in it is of a daemon that is no more.
            os.truncate(lock, 0)
        return lock

    def claim_for_children(self) -> int | None:
        """Lock what the children inherit; None while children of an earlier daemon are there."""
        return self._locked(self.children)

    def holder(self) -> int | None:
        """Return the process id of the daemon that holds the lock, 0 before it said so; None when nobody does."""
        try:
            lock = os.open(self._lock, os.O_RDWR)
        except OSError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return int(os.pread(lock, 20, 0) or 0)
        finally:
            os.close(lock)
        return None

    def tell(self, number: int) -> int | None:
        """Send the daemon a signal, and no other process; return its process id, None when there is none."""
        pid = self.holder()
        if not pid:
            return pid
        if not hasattr(os, "pidfd_open"):
            os.kill(pid, number)
            return pid
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(pid)
            try:
                # It still holds the lock: so the handle is the daemon's, not that of who got its number since.
                if self.holder() == pid:
                    signal.pidfd_send_signal(handle, number)
                    return pid
            finally:
                os.close(handle)
        return None

    def publish(self, document: dict[str, Any]) -> None:
        """Say where the server is; who reads sees all of it or nothing."""
        draft = self._server.with_suffix(".new")
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(document, indent=2), "utf-8")
        draft.replace(self._server)

    def published(self) -> dict[str, Any] | None:
        """Return what was said of the server that runs now; None when there is none, or it does not answer yet."""
        pid = self.holder()
        try:
            document = json.loads(self._server.read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return document if pid and isinstance(document, dict) and document.get("pid") == pid else None

    def withdraw(self) -> None:
        """Say that the server is to be asked no more."""
        self._server.unlink(missing_ok=True)

    def read_token(self) -> str:
        """Return the token, "" where there is none."""
        try:
            return self.token.read_text("ascii").strip()
        except (OSError, ValueError):
            return ""

    def _locked(self, path: Path) -> int | None:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        except OSError:
            os.close(lock)
            raise Mistake(f"--workspace {self.workspace}: its file system has no locks; give a local disk") from None
        return lock


def find_run_folder(workspace: str) -> RunFolder:
    """Return the run folder of a workspace on this machine.

    Raises:
        Mistake: the workspace is elsewhere.

    """
    path = local_path(workspace)
    if path is None:
        raise Mistake(f"--workspace {workspace}: `gristmill up` needs a folder of this machine")
    return RunFolder(path.absolute())
