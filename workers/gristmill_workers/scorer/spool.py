"""A file's predictions, held back until the file is through: a file is in the output or among the errors, never both.

The first ones stay in memory; from `limit` bytes on they go to an unnamed temporary file, column by column as numpy
arrays (texts as JSON), so that memory stays flat for a file of any length. Tables with other objects in their cells
(lists, dicts) stay in memory: to write them would change them.
"""

from __future__ import annotations

import json
import tempfile
from typing import IO, Any, Iterator, List, Tuple

import numpy as np
import pandas as pd

#: Bytes of predictions of one file that stay in memory, at eight a cell.
LIMIT = 8 * 1024 * 1024

#: A table on disk: its columns' (name, whether it holds texts), in order.
_Layout = List[Tuple[str, bool]]


class Spool:
    """Tables in the order in which they came."""

    def __init__(self, limit: int = LIMIT) -> None:
        """Start empty; `limit` is in bytes."""
        self._limit = limit
        self._held = 0
        self._blocks: list[pd.DataFrame | _Layout] = []
        self._file: IO[bytes] | None = None

    def add(self, frame: pd.DataFrame) -> None:
        """Take one more table."""
        size = 8 * frame.shape[0] * frame.shape[1]
        layout = _layout(frame) if self._held + size > self._limit else None
        if layout is None:
            self._held += size
            self._blocks.append(frame)
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="gristmill-")  # noqa: SIM115 - close() is the caller's
        for place, (_, text) in enumerate(layout):
            _write(self._file, frame.iloc[:, place], text)
        self._blocks.append(layout)

    def __iter__(self) -> Iterator[pd.DataFrame]:
        """Yield the tables."""
        if self._file is not None:
            self._file.seek(0)
        for block in self._blocks:
            yield block if isinstance(block, pd.DataFrame) else self._read(block)

    def _read(self, layout: _Layout) -> pd.DataFrame:
        assert self._file is not None
        return pd.DataFrame({name: _load(self._file, text) for name, text in layout})

    def close(self) -> None:
        """Let the tables go."""
        self._blocks = []
        if self._file is not None:
            self._file.close()


def _layout(frame: pd.DataFrame) -> _Layout | None:
    """Return how the table is written; None where that would change it."""
    layout = []
    for place, name in enumerate(frame.columns):
        column = frame.iloc[:, place]
        text = not isinstance(column.dtype, np.dtype) or column.dtype == object
        if text and not all(type(value) is str for value in column):
            return None
        layout.append((str(name), text))
    return layout


def _write(stream: IO[bytes], column: Any, text: bool) -> None:
    if text:
        column = np.frombuffer(json.dumps(column.tolist()).encode("ascii"), dtype="uint8")
    array = np.asarray(column)
    np.save(stream, array, allow_pickle=False)


def _load(stream: IO[bytes], text: bool) -> Any:
    array = np.load(stream, allow_pickle=False)
    return json.loads(array.tobytes().decode("ascii")) if text else array
