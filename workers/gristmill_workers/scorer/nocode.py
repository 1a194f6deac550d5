"""Scoring without the user's code: files go to an MLflow model's predict, its predictions become rows.

What a file becomes is said in `tables.py` and `images.py`, what a prediction becomes in `predictions.py`. A file that
cannot be scored is a failed item, and the others go on. Nothing heavy is imported before `load`.

predict is called once a file, as Azure does, or with `predict_per: mini_batch` as rarely as `together.py` can. With
`rows_per_predict` a table is read and predicted that many rows at a time, in both ways: it is what bounds the memory.
A table with no rows is scored by no call, and has no rows in the output.
"""

from __future__ import annotations

import gc
import logging
import sys
from pathlib import Path
from typing import Any, Iterator

from .collecting import seldom
from .failures import ItemFailed
from .hush import Hush
from .sources import Source, sources


class Scored:
    """A mini-batch's outcome; `succeeded` and `errors` count once `rows` is through."""

    def __init__(self) -> None:
        """Start with nothing scored."""
        #: The rows, in the items' order: pandas DataFrames with the columns row, predictions, file_name, or what
        #: `numbered.py` has for one.
        self.rows: Iterator[Any] = iter(())
        #: Files that were scored.
        self.succeeded = 0
        #: One error for each file that was not.
        self.errors: list[dict[str, Any]] = []


class NoCodeScorer:
    """An MLflow pyfunc model that is given files."""

    def __init__(self, model: dict[str, Any], logger: logging.Logger) -> None:
        """Take the model ({"path", "predict_per": "file" | "mini_batch", "rows_per_predict"}) and where to log."""
        self._path = str(model["path"])
        self._together = model.get("predict_per") == "mini_batch"
        self._rows: int | None = model.get("rows_per_predict") or None
        self._hush = Hush(logger)

    def load(self) -> None:
        """Import what is needed and load the model.

        Raises:
            ImportError: mlflow, pandas or numpy is not in this Python.
            FileNotFoundError: there is no MLflow model in the folder.
            Exception: whatever the model's own loading raises.

        """
        with self._hush(), seldom():
            folder = _model_folder(self._path)
            pyfunc = _pyfunc()
            from . import filemodel, spool, together  # noqa: PLC0415 - they import pandas and numpy

            self._parts: Any = filemodel
            self._new_spool: Any = spool.Spool
            self._new_calls: Any = together.Calls
            gc.freeze()  # modules are no garbage; what the model's loading leaves behind may be
            self._model = filemodel.FileModel(_loaded(pyfunc, folder), self._hush)
        self._hush.say_once("mlflow")

    def begin(self) -> None:
        """Begin a job: its log gets each warning, whatever those before it got."""
        self._hush.forget()

    def score(self, items: list[str], root: str, slices: list[Any] | None = None) -> Scored:
        """Return the outcome of one mini-batch; `items` are paths relative to `root`, '/' between their parts.

        `slices` says of each item where it is, where items are slices of files (see `protocol.py`).
        Nothing is read before `rows` is iterated. A failed file is an error of the outcome, never an exception.
        """
        scored = Scored()
        found = sources(items, root, slices)
        scored.rows = (self._score_together if self._together else self._score_each)(found, scored)
        return scored

    def _score_each(self, found: list[Source], scored: Scored) -> Iterator[Any]:
        for source in found:
            yield from self._score_file(source, scored)

    def _score_file(self, source: Source, scored: Scored) -> Iterator[Any]:
        """Yield an item's rows, once all of them are there."""
        spool = self._new_spool()
        try:
            kind = self._parts.kind_of(source.file)
            for piece in self._model.read(source, self._rows):
                spool.add(self._model.predict(kind, piece))
            scored.succeeded += 1
            first = source.first
            for frame in spool:
                yield self._parts.numbered(frame, first, source.file)
                first += len(frame)
        except ItemFailed as failure:
            scored.errors.append({**source.error(failure), "alone": True})
        finally:
            spool.close()

    def _score_together(self, found: list[Source], scored: Scored) -> Iterator[Any]:
        if self._rows is not None and any(self._parts.is_table(source.file) for source in found):
            yield from self._score_each(found, scored)
            return
        calls = self._new_calls(self._model)
        failed: dict[int, ItemFailed] = {}
        for place, source in enumerate(found):
            try:
                calls.add(place, source)
            except ItemFailed as failure:  # noqa: PERF203 - each file by itself
                failed[place] = failure
        frames, with_their_call = calls.perform()
        failed.update(with_their_call)
        scored.errors.extend(found[place].error(failed[place]) for place in sorted(failed))
        scored.succeeded += len(found) - len(failed)
        yield from frames


def _pyfunc() -> Any:
    try:
        import mlflow.pyfunc  # noqa: PLC0415 - heavy, and not everybody's
        import pandas as pd  # noqa: F401, PLC0415
    except ImportError as error:
        raise ImportError(
            f"an MLflow model needs mlflow and pandas in its environment: add 'mlflow' to its conda.yaml ({error})"
        ) from error
    return mlflow.pyfunc


def _loaded(pyfunc: Any, folder: str) -> Any:
    """Return the model; MLflow compares what is installed with what the model asks for unless that is known."""
    from .installed import as_saved  # noqa: PLC0415 - it imports what only models need

    known = {"suppress_warnings": True} if as_saved(folder, sys.modules["mlflow"]) else {}
    return pyfunc.load_model(folder, **known)


def _model_folder(path: str) -> str:
    """Return the folder that holds the `MLmodel` file: the given one, or its only folder that does."""
    folders = [Path(path), *Path(path).glob("*/")]
    found = [folder for folder in folders if (folder / "MLmodel").is_file()]
    if not found or (found[0] != folders[0] and len(found) > 1):
        raise FileNotFoundError(f"no MLmodel file in '{path}': give the folder of a model that MLflow saved")
    return str(found[0])
