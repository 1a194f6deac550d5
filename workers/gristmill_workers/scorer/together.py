"""A mini-batch in as few calls of predict as its files allow.

Tables with the same columns are joined, images of the same shape are stacked; what differs is a call of its own. A
tensor whose batch axis is fixed closes a call when it is full. The output stays in the items' order.
"""

from __future__ import annotations

from typing import Any, Iterator

import numpy as np
import pandas as pd

from .failures import ItemFailed
from .filemodel import FileModel, kind_of, to_output
from .sources import Source


class Call:
    """What one predict is given, and whose rows are in it."""

    def __init__(self, key: Any, kind: Any) -> None:
        """Start with no file."""
        self.key = key
        self.kind = kind
        #: Places in the mini-batch, whose rows they are, and how many rows each has.
        self.places: list[int] = []
        self.sources: list[Source] = []
        self.rows: list[int] = []
        self.pieces: list[Any] = []

    def add(self, place: int, source: Source, piece: Any) -> None:
        """Take one file's content."""
        self.places.append(place)
        self.sources.append(source)
        self.rows.append(len(piece))
        self.pieces.append(piece)

    def predict(self, model: FileModel) -> pd.DataFrame:
        """Return the output's rows of all files of the call, one file after the other; the content is let go.

        Raises:
            ItemFailed: the call failed, and with it every file in it.

        """
        pieces, self.pieces = self.pieces, []
        frame = model.predict(self.kind, self.kind.join(pieces))
        firsts = [source.first for source in self.sources]
        rows = np.concatenate([np.arange(first, first + count) for first, count in zip(firsts, self.rows)])
        return to_output(frame, rows, np.repeat(np.array([source.file for source in self.sources], object), self.rows))

    def split(self, frame: pd.DataFrame) -> Iterator[tuple[int, pd.DataFrame]]:
        """Yield (place, its rows) of what `predict` returned."""
        first = 0
        for place, count in zip(self.places, self.rows):
            yield place, frame.iloc[first : first + count].reset_index(drop=True)
            first += count


class Calls:
    """The calls of one mini-batch."""

    def __init__(self, model: FileModel) -> None:
        """Start with none."""
        self._model = model
        self._all: list[Call] = []
        self._open: dict[Any, Call] = {}

    def add(self, place: int, source: Source) -> None:
        """Read one item into the call that it fits into; a table with no rows needs none.

        Raises:
            ItemFailed: the item cannot be read.

        """
        kind = kind_of(source.file)
        for piece in list(self._model.read(source, None)):
            key = (kind.__name__, kind.group(piece))
            if key not in self._open:
                self._open[key] = Call(key, kind)
                self._all.append(self._open[key])
            self._open[key].add(place, source, piece)
            self._close_when_full(self._open[key])

    def _close_when_full(self, call: Call) -> None:
        tensor = self._model.signature.tensor
        if tensor is not None and sum(call.rows) == tensor.batch:
            del self._open[call.key]

    def perform(self) -> tuple[list[pd.DataFrame], dict[int, ItemFailed]]:
        """Return the output's rows in the items' order, and the failure of each file whose call failed."""
        whole: list[tuple[Call, pd.DataFrame]] = []
        failed: dict[int, ItemFailed] = {}
        for call in self._all:
            try:
                whole.append((call, call.predict(self._model)))
            except ItemFailed as failure:  # noqa: PERF203 - each call by itself
                failed.update((place, failure) for place in call.places)
        if len(whole) == 1:
            return [whole[0][1]], failed
        parts = dict(part for call, frame in whole for part in call.split(frame))
        return [parts[place] for place in sorted(parts)], failed
