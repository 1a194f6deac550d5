"""Predictions of a file on their way to being rows: with the rows' numbers and the file's name, and not yet a table.

A table has a column of each of these, made only to be taken apart again: more than half of the time that such rows
took to become csv.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator


class Numbered:
    """One file's predictions, or some of them."""

    __slots__ = ("_to_table", "columns", "file", "first", "predictions")

    def __init__(
        self, predictions: Any, first: int, file: str, columns: list[str], to_table: Callable[..., Any]
    ) -> None:
        """Take the predictions, and what they are in the output.

        Args:
            predictions: a pandas DataFrame.
            first: the number of its first row.
            file: the file's name, as rows bear it.
            columns: the names of the table's columns.
            to_table: makes the table of the predictions, the rows' numbers and the file's name.

        """
        self.predictions = predictions
        self.first = first
        self.file = file
        self.columns = columns
        self._to_table = to_table

    def __len__(self) -> int:
        """Return how many rows there are."""
        return len(self.predictions)

    @property
    def rows(self) -> range:
        """The rows' numbers."""
        return range(self.first, self.first + len(self))

    def table(self) -> Any:
        """Return the pandas DataFrame with all columns."""
        return self._to_table(self.predictions, self.rows, self.file)

    def slices(self, rows: int) -> Iterator[Numbered]:
        """Yield so many rows at a time."""
        for first in range(0, len(self), rows):
            part = self.predictions.iloc[first : first + rows]
            yield Numbered(part, self.first + first, self.file, self.columns, self._to_table)


def table(rows: Any) -> Any:
    """Return rows as a pandas DataFrame: what they are already, or what is made of them."""
    return rows.table() if isinstance(rows, Numbered) else rows
