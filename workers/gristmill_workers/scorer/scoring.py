"""One mini-batch, from its items to its written rows: by the user's script, or by an MLflow model without one."""

from __future__ import annotations

import logging
from importlib import import_module
from time import perf_counter
from typing import Any, Collection, NamedTuple

from . import faults, frames, rows
from .formats import Format, Unencodable, Written
from .protocol import Progress
from .returned import count
from .script import Script, open_import_path
from .sink import Sink
from .start import Start


class Scored(NamedTuple):
    """A mini-batch that gave something."""

    #: What was written into the sink.
    written: Written
    #: Items that count as succeeded.
    succeeded: int
    #: The protocol's errors of those that do not.
    errors: list[dict[str, Any]]
    #: Seconds in run().
    seconds: float


class ScriptScoring:
    """Scores by the user's init() and run()."""

    def __init__(self, start: Start, progress: Progress, bare: Collection[str]) -> None:
        """Open the import path to the user's modules."""
        open_import_path(start, bare)
        self._script = Script(start, bare)
        self._progress = progress
        self._form = start.form
        self.begin(start.root)

    def begin(self, root: str) -> None:
        """Score what lies in this folder from now on."""
        self._prefix = root.rstrip("/") + "/"

    def load(self) -> None:
        """Run init()."""
        self._script.load()

    @property
    def ends_jobs(self) -> bool:
        """Whether the script wants to do something at the end of a job."""
        return self._script.has_shutdown

    def score(self, mini_batch: int, items: list[str], sink: Sink, _slices: list[Any] | None = None) -> Scored:
        """Run run(), and write what it returns.

        Raises:
            WrongReturnType, Unencodable: what run() returned is of no use.
            BaseException: whatever run() raises.

        """
        prefix = self._prefix
        paths = [prefix + item for item in items]
        began = perf_counter()
        self._progress.enter(mini_batch)
        result = self._script.run(paths, mini_batch)
        self._progress.wrap_up(mini_batch)
        seconds = perf_counter() - began
        returned, given = count(result), len(items)
        written = _write(result, self._form, sink)
        if returned >= given:
            return Scored(written, given, [], seconds)
        return Scored(written, returned, [faults.missing_results(returned, given)], seconds)

    def close(self) -> None:
        """Run shutdown()."""
        self._script.shutdown()


def _write(result: Any, form: Format, sink: Sink) -> Written:
    try:
        return rows.write(result, form, sink)
    except (OSError, MemoryError) as error:
        raise Unencodable("no room for it", error, final=False) from error


class NoCodeScoring:
    """Scores by an MLflow model."""

    def __init__(self, start: Start, progress: Progress) -> None:
        """Make the scorer of `nocode.py`, which needs MLflow and pandas: only such jobs do."""
        nocode = import_module("." + "nocode", __package__)
        self._model = nocode.NoCodeScorer(start.model, logging.getLogger("gristmill.nocode"))
        self._progress = progress
        self._root = start.root
        self._form = start.form

    def begin(self, root: str) -> None:
        """Score what lies in this folder from now on, and say anew what was said to another job."""
        self._root = root
        self._model.begin()

    def load(self) -> None:
        """Load the model."""
        self._model.load()

    @property
    def ends_jobs(self) -> bool:
        """Say no."""
        return False

    def score(self, mini_batch: int, items: list[str], sink: Sink, slices: list[Any] | None = None) -> Scored:
        """Read, predict and write, table by table; `slices` says what the items are where they are not whole files.

        Raises:
            Unencodable: a table cannot be written.
            BaseException: whatever the model raises.

        """
        began = perf_counter()
        self._progress.enter(mini_batch)
        scored = self._model.score(items, self._root, slices)
        written = frames.write(scored.rows, self._form, sink)
        self._progress.wrap_up(mini_batch)
        return Scored(written, scored.succeeded, list(scored.errors), perf_counter() - began)

    def close(self) -> None:
        """Nothing is to be closed."""
