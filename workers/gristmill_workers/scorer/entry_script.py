"""Azure's helper `from azureml_user.parallel_run import EntryScript`, where its package is not installed."""

# Paths are plain strings here: a Path a mini-batch would cost more than the mini-batch.
# ruff: noqa: PTH103, PTH118, PTH120
# ruff: noqa: PTH

from __future__ import annotations

import contextlib
import logging
import os
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, Callable, Sequence

from .start import Start

PACKAGE = "azureml_user"
MODULE = PACKAGE + ".parallel_run"


def entry_script_class(start: Start, logger: Callable[[], logging.Logger]) -> type:
    """Return the class that a script knows as EntryScript, filled with what this process is told."""

    class EntryScript:
        """What a script may ask about the process that runs it."""

        #: The folder of the job's logs for users.
        log_dir = start.log_dir
        #: Where the script's own output files go.
        output_dir = start.output_dir
        #: The process's working folder.
        working_dir = start.working_dir
        #: The process's name.
        agent_name = start.process

        @property
        def logger(self) -> logging.Logger:
            """Return a logger whose lines go to logs/user/entry_script_log/<node>/<process>.log.txt."""
            return logger()

    return EntryScript


class _LogFile(logging.FileHandler):
    """A log file that drops what its disk does not take, also where it cannot be made; closed, it is opened anew."""

    def _open(self) -> Any:
        with contextlib.suppress(OSError):
            os.makedirs(os.path.dirname(self.baseFilename), exist_ok=True)
        return super()._open()

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            super().emit(record)


def entry_script_logger(start: Start) -> logging.Logger:
    """Return the entry script's logger; its file is made with the first line."""
    logger = logging.getLogger("EntryScript")
    if not logger.handlers:
        handler = _LogFile(_log_path(start), encoding="utf-8", delay=True)
        handler.setFormatter(logging.Formatter("%(asctime)s|%(levelname)s|%(process)d|%(message)s"))
        logger.addHandler(handler)
        logger.setLevel(start.logging_level.upper())
        logger.propagate = False
    return logger


def _log_path(start: Start) -> str:
    return os.path.join(start.log_dir, "entry_script_log", start.node, start.process + ".log.txt")


def _own_handlers() -> list[_LogFile]:
    return [handler for handler in logging.getLogger("EntryScript").handlers if isinstance(handler, _LogFile)]


def close_log() -> None:
    """Close the entry script's log; the next line opens that of the job that is scored then."""
    for handler in _own_handlers():
        handler.close()


class AzuremlUser:
    """Finds `azureml_user` and its `parallel_run`; stands last in sys.meta_path, so that the real package wins.

    A finder and a loader in Python's words, without the classes of `importlib.abc`: these import a tenth of what a
    scorer imports at all.
    """

    def __init__(self, start: Start) -> None:
        """Remember what EntryScript will answer."""
        self._start = start

    def begin(self, node: str) -> None:
        """Let the next line begin the log of another job, in which the node is called so."""
        self._start = self._start._replace(node=node)
        for handler in _own_handlers():
            handler.close()
            handler.baseFilename = _log_path(self._start)

    def logger(self) -> logging.Logger:
        """Return the entry script's logger, for the job that is scored now."""
        return entry_script_logger(self._start)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - importlib's signature
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return a spec for the two names."""
        if fullname not in (PACKAGE, MODULE):
            return None
        loader: Any = self
        return ModuleSpec(fullname, loader, is_package=fullname == PACKAGE)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave the making of the module to Python."""

    def exec_module(self, module: ModuleType) -> None:
        """Put the class into `parallel_run`."""
        if module.__name__ == MODULE:
            module.EntryScript = entry_script_class(self._start, self.logger)  # type: ignore[attr-defined]


def offer(start: Start) -> AzuremlUser:
    """Make the import work from now on; return what must hear of the next job."""
    offered = AzuremlUser(start)
    sys.meta_path.append(offered)
    return offered
