"""The noise of the model's libraries: each warning goes to the log once, not to the user's stderr at every file."""

from __future__ import annotations

import logging
import warnings
from contextlib import contextmanager
from typing import Any, Iterator

#: Different messages remembered; what comes after is let through.
_REMEMBERED = 1000


class Hush:
    """Collects the warnings of one process's model."""

    def __init__(self, logger: logging.Logger) -> None:
        """Take the log that the warnings go to."""
        self._logger = logger
        self._seen: set[str] = set()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """Send warnings raised within to the log; a filter that turns them into errors does not count here."""
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = self._show  # type: ignore[assignment]
            yield

    def _show(self, message: Any, category: Any, filename: str, lineno: int, *_: Any) -> None:
        text = f"{filename}:{lineno}: {category.__name__}: {message}"
        if self._is_new(text):
            self._logger.warning("%s", text)

    def _is_new(self, text: str) -> bool:
        if text in self._seen:
            return False
        if len(self._seen) < _REMEMBERED:
            self._seen.add(text)
        return True

    def forget(self) -> None:
        """Take every message for new."""
        self._seen.clear()

    def say_once(self, name: str) -> None:
        """Let each message of the named library's loggers through its handlers once."""
        for handler in logging.getLogger(name).handlers:
            # A handler may serve other loggers too: theirs is not this one's business.
            handler.addFilter(lambda record: record.name.split(".")[0] != name or self._is_fresh(record))

    def _is_fresh(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.ERROR or self._is_new(f"{record.name}: {record.getMessage()}")
