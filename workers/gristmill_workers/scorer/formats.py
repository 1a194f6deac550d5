"""How rows are to be written, and what is known of rows that are."""

from __future__ import annotations

from typing import Any, NamedTuple


class Format(NamedTuple):
    """The output's format."""

    #: "text" (as Azure writes), "csv", "jsonl", "parquet", or "none" (rows are counted only).
    kind: str = "text"
    #: Whether the output will have a line of column names; the aggregator writes it.
    header: bool = False
    #: What separates the fields of text and csv, one character.
    delimiter: str = " "

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Format:
        """Read {"kind", "header", "delimiter"}; what is missing takes its default."""
        known = {name: value[name] for name in cls._fields if value.get(name) is not None}
        return cls(**known)


class Written:
    """What was written of one mini-batch."""

    __slots__ = ("columns", "encoding", "rows")

    def __init__(self, rows: int, encoding: str, columns: list[str] | None = None) -> None:
        """Note the number of rows, the encoding's name in the protocol, and the columns' names where there are any."""
        self.rows = rows
        self.encoding = encoding
        self.columns = columns


class Unencodable(Exception):
    """A result cannot be written in the output's format."""

    def __init__(self, where: str, reason: object, *, final: bool = True) -> None:
        """Say where in the result ("element 3 of type dict"), why, and whether another attempt would end the same."""
        self.final = final
        if isinstance(reason, BaseException):
            reason = f"{type(reason).__name__}: {reason}"
        super().__init__(f"The result of run() cannot be written: {where}: {reason}")

    @classmethod
    def element(cls, index: int, value: object, reason: object) -> Unencodable:
        """Name the element of the result that is in the way."""
        return cls(f"element {index} of type {type(value).__name__}", reason)
