"""A loaded MLflow model that is given files: the steps that every way of calling it shares.

Imports pandas and numpy through its siblings, so `nocode.py` imports it when a model is loaded, not before.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Iterator

import pandas as pd

from . import images, tables
from .failures import attempt, refused, unsupported
from .hush import Hush
from .numbered import Numbered
from .predictions import FILE, ROW, to_frame
from .signature import read_signature
from .sources import Source


class FileModel:
    """A model and its signature."""

    def __init__(self, model: Any, hush: Hush) -> None:
        """Take what `mlflow.pyfunc.load_model` returned, and where its warnings go."""
        self._model = model
        self._hush = hush
        self.signature = read_signature(model)

    def read(self, source: Source, rows: int | None) -> Iterator[Any]:
        """Yield the item's pieces: DataFrames of at most `rows` rows, none of them empty, or one array (1, ...).

        Raises:
            ItemFailed: the file's kind is not supported, or it cannot be read.

        """
        kind = kind_of(source.file)
        if kind is tables:
            pieces = tables.read_table(source, extension_of(source.file), self.signature, rows)
        else:
            pieces = images.read_images(source.path, self.signature)
        end = object()
        while True:
            with self._hush():
                piece = attempt(lambda: next(pieces, end))
            if piece is end:
                return
            yield piece

    def predict(self, kind: Any, piece: Any) -> pd.DataFrame:
        """Return the predictions for a piece, one row each.

        Raises:
            ItemFailed: the piece does not fit the model, predict raised, or it returned something else.

        """
        with self._hush():
            data = attempt(lambda: kind.model_input(piece, self.signature))
            try:
                prediction = self._model.predict(data)
            except Exception as error:
                raise refused(error) from error
            frame: pd.DataFrame = attempt(lambda: to_frame(prediction, len(piece)), "exception")
        return frame


def extension_of(path: str) -> str:
    """Return the extension without its dot, in lower case."""
    return Path(path).suffix[1:].lower()


def kind_of(path: str) -> Any:
    """Return the module that knows the file's kind (`tables` or `images`).

    Raises:
        ItemFailed: neither does.

    """
    extension = extension_of(path)
    if extension in tables.EXTENSIONS:
        return tables
    if extension in images.EXTENSIONS:
        return images
    raise unsupported(extension)


def is_table(path: str) -> bool:
    """Whether the file holds a table."""
    return extension_of(path) in tables.EXTENSIONS


def numbered(frame: pd.DataFrame, first: int, file: str) -> Numbered:
    """Return predictions of a file as rows of the output, of which the first one has this number in it."""
    return Numbered(frame, first, file, [ROW, *frame.columns, FILE], to_output)


def to_output(frame: pd.DataFrame, rows: Any, files: Any) -> pd.DataFrame:
    """Return predictions with each row's number in its file before them, and the file's name after."""
    columns: dict[str, Any] = {ROW: rows}
    columns.update((name, frame[name].array) for name in frame.columns)
    columns[FILE] = files
    return pd.DataFrame(columns, index=range(len(frame)))
