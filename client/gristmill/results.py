"""What a finished job left on storage, read back: summary, errors, the table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from gristmill import spec
from gristmill.addresses import local_path
from gristmill.errors import Corrupt, MissingExtra, Mistake, NotFound

if TYPE_CHECKING:
    import pandas as pd


def read_summary(address: str) -> dict[str, Any]:
    """Return a summary's document.

    Raises:
        NotFound: there is none at the address.
        Corrupt: it is no JSON object.

    """
    document = _parse(address, _read_text(address))
    if not isinstance(document, dict):
        raise Corrupt(f"{address}: a summary is a JSON object")
    return document


def read_errors(address: str) -> list[dict[str, Any]]:
    """Return the lines of an errors.jsonl, an item each.

    Raises:
        NotFound: there is none at the address.
        Corrupt: a line is no JSON.

    """
    return _read_documents(address)


def read_table(address: str, settings: spec.Settings) -> pd.DataFrame:
    """Return an output as a DataFrame; without a header its columns are numbered from 0.

    Azure's text form need not be a table: where its lines have different numbers of fields, each line is one value.

    Raises:
        MissingExtra: pandas, or for Parquet pyarrow, is not installed.
        Mistake: the job wrote no output file.

    """
    if settings.output_action is spec.OutputAction.SUMMARY_ONLY:
        raise Mistake("output_action: summary_only writes no output file to read")
    try:
        import pandas as pd  # noqa: PLC0415 - an optional part
    except ImportError:
        raise MissingExtra("to_pandas()", "mlflow") from None
    path = str(local_path(address) or address)
    match settings.output_format:
        case spec.RowFormat.PARQUET:
            return _read_parquet(path)
        case spec.RowFormat.JSONL:
            # read_json would make dates and numbers of texts.
            return pd.DataFrame(_read_documents(address))
        case _:
            return _read_lines(path, settings)


def _read_parquet(path: str) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 - an optional part

    try:
        return pd.read_parquet(path)
    except ImportError:
        raise MissingExtra("reading a Parquet file", "parquet") from None


def _read_lines(path: str, settings: spec.Settings) -> pd.DataFrame:
    import pandas as pd  # noqa: PLC0415 - an optional part

    header = 0 if settings.header else None
    try:
        return pd.read_csv(path, sep=settings.delimiter, header=header)
    except pd.errors.EmptyDataError:
        return pd.DataFrame()
    except pd.errors.ParserError:
        if settings.output_format is not spec.RowFormat.TEXT:
            raise
        return pd.DataFrame({0: _read_text(path).splitlines()})


def _read_documents(address: str) -> list[dict[str, Any]]:
    # Not splitlines: JSON may hold U+2028 as it is.
    return [_parse(address, line) for line in _read_text(address).split("\n") if line]


def _read_text(address: str) -> str:
    path = local_path(address)
    if path is None:
        raise NotFound(f"{address}: lies on another store; read it there")
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise NotFound(f"{path}: there is no such file") from None


def _parse(address: str, text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise Corrupt(f"{address}: not JSON: {error}") from None
