"""Prints a command's result document on stdout, in the formats and with the queries of Azure's command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, Final

from gristmill.errors import Mistake

#: The choices of `-o`; jsonc is json in colours where stdout is a terminal, yamlc has none here.
FORMATS: Final = ("json", "jsonc", "yaml", "yamlc", "table", "tsv", "none")


def select(document: Any, query: str | None) -> Any:
    """Return the part of a document that a JMESPath query names.

    Raises:
        Mistake: the query cannot be read, or does not fit the document.

    """
    if query is None:
        return document
    # Few runs ask a query, and all would wait for the import.
    import jmespath  # noqa: PLC0415
    from jmespath.exceptions import JMESPathError  # noqa: PLC0415

    try:
        return jmespath.search(query, document)
    except JMESPathError as error:
        line = " ".join(str(error).split())
        raise Mistake(f"--query {query}: {line}") from None


def render(document: Any, form: str) -> str:
    """Return a document as text, with its last line ended; "" for `none`."""
    match form:
        case "none":
            return ""
        case "yaml" | "yamlc":
            return _yaml(document)
        case "tsv":
            return "".join(f"{line}\n" for line in _tsv(document))
        case "table":
            return "".join(f"{line}\n" for line in _table(document))
        case _:
            return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def print_result(document: Any, form: str | None, query: str | None) -> None:
    """Print what `query` leaves of a document in a format of `FORMATS` (None: json)."""
    found = select(document, query)
    if form == "jsonc" and sys.stdout.isatty():
        from rich.console import Console  # noqa: PLC0415 - colours are asked for rarely

        Console(file=sys.stdout).print_json(data=found)
        return
    sys.stdout.write(render(found, form or "json"))


def _yaml(document: Any) -> str:
    import yaml  # noqa: PLC0415 - as for JMESPath

    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    # PyYAML ends a bare scalar with a document mark.
    return text.removesuffix("...\n")


def _tsv(document: Any) -> list[str]:
    rows = document if isinstance(document, list) else [document]
    return ["\t".join(_cell(value) for value in _values(row)) for row in rows]


def _values(row: Any) -> Sequence[Any]:
    if isinstance(row, dict):
        return list(row.values())
    return row if isinstance(row, list) else [row]


def _cell(value: Any) -> str:
    """Return one value on one line, as Azure's CLI has it: a list is its length, a mapping leaves its column empty."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None or isinstance(value, dict):
        return ""
    if isinstance(value, list):
        return str(len(value))
    return " ".join(str(value).split("\n"))


def _table(document: Any) -> list[str]:
    rows = document if isinstance(document, list) else [document]
    if not rows:
        return []
    named = [row if isinstance(row, dict) else {"Result": row} for row in rows]
    flat = [{key: value for key, value in row.items() if not isinstance(value, (dict, list))} for row in named]
    keys = list(dict.fromkeys(key for row in flat for key in row))
    heads = [key[:1].upper() + key[1:] for key in keys]
    cells = [[_cell(row.get(key)) for key in keys] for row in flat]
    widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
    lines = [heads, ["-" * width for width in widths], *cells]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
