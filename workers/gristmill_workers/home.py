"""The folder that scorers live in which may serve several jobs: it belongs to none of them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Final

from gristmill_workers.scratch import scratch_folder

#: Holds what scripts know as the folder of the job's logs: a link for each process, to those of the job that it is at.
_LOGS: Final = "logs"

#: Where these links lead between two jobs.
_NOBODYS: Final = "dropped"


class Home:
    """A locked folder, gone when it is closed."""

    def __init__(self, base: Path | None) -> None:
        """Make it in `base` (None: the system's temporary folder)."""
        self._stack = ExitStack()
        self.path = self._stack.enter_context(scratch_folder(base, "scorers"))
        for name in (_LOGS, _NOBODYS):
            (self.path / name).mkdir()

    def log_dir(self, process: str, logs: Path) -> Path:
        """Let a process find a job's logs where it found those of the jobs before; return where."""
        link = self.path / _LOGS / process
        new = link.with_name(f"{process}.new")
        new.symlink_to(logs.absolute(), target_is_directory=True)
        new.replace(link)
        return link

    def rest(self) -> None:
        """Let no process find the logs of the job that is over."""
        for link in list((self.path / _LOGS).iterdir()):
            self.log_dir(link.name, self.path / _NOBODYS)

    def close(self) -> None:
        """Remove it."""
        self._stack.close()
