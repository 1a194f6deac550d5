"""A job's logs as one instance writes them: straight into its folder where that is on this machine, else copied."""

from __future__ import annotations

import contextlib
import logging
import sys
import uuid
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from gristmill.errors import StorageFailed
from gristmill_storage import job_folder, log_files
from gristmill_storage.files import Store
from gristmill_storage.job_lines import form, heard
from gristmill_workers.attempts import Attempts

log = logging.getLogger("gristmill.node")


class _LogFile(logging.FileHandler):
    """A log file that drops what its disk does not take, and says so once: a log must never end a job."""

    def __init__(self, path: Path) -> None:
        """Take the file's path; it is made with the first line."""
        super().__init__(path, encoding="utf-8", errors="backslashreplace", delay=True)
        self._warned = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line."""
        try:
            if self.stream is None:
                Path(self.baseFilename).parent.mkdir(parents=True, exist_ok=True)
            super().emit(record)
        except OSError as error:
            self._warn(error)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802, ARG002 - logging's own names
        """Say once what a line was lost for."""
        self._warn(sys.exc_info()[1])

    def _warn(self, error: BaseException | None) -> None:
        if not self._warned:
            self._warned = True
            log.warning("%s: lines of this log are dropped: %s", self.baseFilename, error)

    def close(self) -> None:
        """Close the file; what it still holds may be lost."""
        with contextlib.suppress(OSError):
            super().close()


def _as_node(record: logging.LogRecord) -> bool:
    """Give a line the name that the process's other lines have: the logger's own is of one job, and means nothing."""
    record.name = log.name
    return True


class JobLogs:
    """The folder `logs/` of a job, with what this instance puts into it."""

    def __init__(self, folder: Store, *, node: str, slot: int, scratch: Path) -> None:
        """Take the job's folder, who writes, and where to write when the folder is elsewhere."""
        self._folder = folder
        self._local = folder.local_path(job_folder.LOGS)
        self.root = self._local if self._local is not None else scratch / job_folder.LOGS
        self.node = f"{node}-{slot}" if slot else node
        self.system = self._logger()
        path = self._path(job_folder.SYSTEM_ERRORS) / f"{self.node}.txt"
        self._warnings = ExitStack()
        self._warnings.enter_context(heard(partial(log_files.append_local, path), level=logging.WARNING))

    def attempts(self, instance: str) -> Attempts:
        """Return where an instance notes the attempts that end."""
        return Attempts(self.folder, node=self.node, instance=instance)

    def _logger(self) -> logging.Logger:
        path = self._path(job_folder.NODE_LOGS) / self.node / "_main.txt"
        self._handler = _LogFile(path)
        self._handler.setFormatter(form())
        logger = logging.getLogger(f"gristmill.node.{self.node}.{uuid.uuid4().hex[:8]}")
        logger.setLevel(logging.INFO)
        logger.addHandler(self._handler)
        logger.addFilter(_as_node)
        return logger

    def _path(self, name: str) -> Path:
        """Return the path on this machine of a name in the job's folder, below its logs."""
        return self.root.parent / name

    @property
    def folder(self) -> Path:
        """The folder of this machine that has `logs/`."""
        return self.root.parent

    @property
    def performance(self) -> Path:
        """The folder of what machine and processes use."""
        return self._path(job_folder.PERFORMANCE) / self.node

    @property
    def user(self) -> Path:
        """The folder of what the user's code says."""
        return self.root / "user"

    def output(self, stream: str, process: int) -> Path:
        """Return the file for what a scorer prints to `stream` ("stdout" or "stderr")."""
        return self._path(job_folder.output_log(stream, self.node, process))

    def script_error(self, mini_batch: int, attempt: int, category: str, message: str, traceback: str) -> None:
        """Note an attempt that failed, with its traceback."""
        path = self._path(job_folder.USER_ERRORS) / self.node / "errors.txt"
        text = f"mini-batch {mini_batch}, attempt {attempt}: {category}: {message}\n{traceback.rstrip()}\n\n"
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)

    def close(self) -> None:
        """Close the files; copy them to the job's folder where that is elsewhere."""
        self._warnings.close()
        self.system.removeHandler(self._handler)
        self._handler.close()
        logging.root.manager.loggerDict.pop(self.system.name, None)  # a node lives through many jobs
        if self._local is not None:
            return
        for path in sorted(self.root.rglob("*")):
            if path.is_file():
                name = path.relative_to(self.root.parent).as_posix()
                with contextlib.suppress(OSError, StorageFailed):
                    log_files.copy(self._folder, name, path)
