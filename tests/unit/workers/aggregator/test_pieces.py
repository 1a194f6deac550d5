"""Whatever blocks and pieces go in: their rows come out, in order, each value under its own column."""

from __future__ import annotations

import csv
import io
import json
from typing import Any
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.spec import Deployment, Input, Job, Output, RowFormat, Settings
from gristmill_storage import job_folder
from gristmill_storage.files import open_store
from gristmill_storage.ledger import Entry
from gristmill_storage.ledger.memory import MemoryLedger
from gristmill_storage.output_index import IndexReader
from gristmill_storage.parts import Block, PartWriter, Piece, part_name
from gristmill_workers.aggregator import aggregate

COLUMNS = st.lists(
    st.sampled_from(
        ["a", "b", "c", "d e", 'f"'],
    ),
    min_size=1,
    max_size=4,
    unique=True,
)
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=6)


@st.composite
def pieces(draw: Any) -> list[list[dict[str, str]] | None]:
    """A mini-batch's pieces: each a list of rows with columns of its own, or None where its items failed."""
    made: list[list[dict[str, str]] | None] = []
    for _ in range(draw(st.integers(1, 4))):
        columns = draw(COLUMNS)
        values = draw(st.lists(st.tuples(*[TEXT] * len(columns)), max_size=3))
        rows = [dict(zip(columns, row, strict=True)) for row in values]
        made.append(draw(st.sampled_from([rows, rows, None])))
    return made


BLOCKS = st.lists(pieces(), min_size=1, max_size=5).filter(lambda blocks: any(p is not None for b in blocks for p in b))
EVERYTHING = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def encoded(rows: list[dict[str, str]] | None, form: RowFormat) -> bytes:
    if not rows:
        return b""
    if form is RowFormat.JSONL:
        return "".join(json.dumps(row) + "\n" for row in rows).encode()
    if form is RowFormat.PARQUET:
        sink = io.BytesIO()
        table = pa.Table.from_pylist(rows)
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        return sink.getvalue()
    text = io.StringIO()
    csv.writer(text, delimiter=",", lineterminator="\n").writerows(row.values() for row in rows)
    return text.getvalue().encode()


def block_of(number: int, parts: list[Any], form: RowFormat) -> tuple[Block, bytes]:
    data = [encoded(rows, form) for rows in parts]
    made = tuple(
        Piece(
            items=2,
            succeeded=0 if rows is None else 2,
            rows=len(rows or ()),
            size=len(bytes_),
            columns=tuple(rows[0]) if rows and form is not RowFormat.JSONL else None,
        )
        for rows, bytes_ in zip(parts, data, strict=True)
    )
    block = Block(
        mini_batch=number,
        attempt=1,
        items=2 * len(parts),
        succeeded=sum(piece.succeeded for piece in made),
        failed=sum(piece.items - piece.succeeded for piece in made),
        rows=sum(piece.rows for piece in made),
        seconds=0.0,
        encoding={"parquet": "arrow"}.get(form, str(form)),
        columns=made[0].columns if len(made) == 1 else None,
        size=sum(map(len, data)),
        pieces=made if len(made) > 1 else (),
    )
    return block, b"".join(data)


def merged(blocks: list[list[Any]], form: RowFormat) -> tuple[bytes, IndexReader]:
    """Aggregate blocks that come in two parts, the later mini-batches first."""
    settings_ = Settings(output_format=form, header=True, delimiter=",", output_file_name="rows")
    job = Job(
        name="j",
        deployment=Deployment(name="d", settings=settings_),
        input=Input(uri="/in"),
        output=Output(folder=f"memory://{uuid4()}/out"),
    )
    store, ledger = open_store(job_folder.url(job.output.folder, "j")), MemoryLedger()
    ledger.open("j", epoch="1", lease_seconds=30, error_threshold=-1)
    ledger.extend("j", first=0, count=len(blocks), items=0, size=0, closed=True)
    for serial, numbers in enumerate((range(1, len(blocks), 2), range(0, len(blocks), 2))):
        if not numbers:
            continue
        writer = PartWriter(store, name := part_name("1", numbers[0], "node", serial))
        entries = []
        for number in numbers:
            block, data = block_of(number, blocks[number], form)
            writer.add(block, data)
            entries.append(Entry.of(block))
        writer.seal()
        ledger.adopt("j", part=name, entries=entries)
    aggregate(job, store, ledger, publish=True)
    assert json.loads(store.read(job_folder.RESULT))["error"] is None
    return open_store(job.output.folder).read("rows"), IndexReader(store)


def rows_of(blocks: list[list[Any]]) -> list[dict[str, str]]:
    return [row for parts in blocks for rows in parts for row in rows or ()]


@given(BLOCKS)
@EVERYTHING
def test_csv_rows_stand_under_their_columns(blocks) -> None:
    data, index = merged(blocks, RowFormat.CSV)

    found = list(csv.reader(io.StringIO(data.decode(), newline="")))
    columns = list(dict.fromkeys(name for row in rows_of(blocks) for name in row))
    assert found[:1] == ([columns] if columns else [])
    assert found[1:] == [[row.get(name, "") for name in columns] for row in rows_of(blocks)]
    assert_pieces(index, data, blocks)


def assert_pieces(index: IndexReader, data: bytes, blocks: list[list[Any]]) -> None:
    """Every piece's bytes in the output hold that piece's rows."""
    start = index.header.size
    for record, parts in zip(index.records(), blocks, strict=True):
        assert sum(unit.size for unit in record.units()) == record.size
        for unit, rows in zip(record.units(), parts, strict=True):
            text = data[start : start + unit.size].decode()
            assert len(list(csv.reader(io.StringIO(text, newline="")))) == unit.rows == len(rows or ())
            start += unit.size
    assert start == len(data) == index.size


@given(BLOCKS)
@EVERYTHING
def test_json_lines_are_the_rows(blocks) -> None:
    data, _ = merged(blocks, RowFormat.JSONL)

    assert [json.loads(line) for line in data.splitlines()] == rows_of(blocks)


@given(BLOCKS)
@EVERYTHING
def test_parquet_rows_stand_under_their_columns(blocks) -> None:
    data, index = merged(blocks, RowFormat.PARQUET)

    found = pyarrow.parquet.read_table(io.BytesIO(data)).to_pylist()
    assert [{name: value for name, value in row.items() if value is not None} for row in found] == rows_of(blocks)
    rows = [unit.rows for record in index.records() for unit in record.units()]
    assert rows == [len(rows or ()) for parts in blocks for rows in parts]


@given(st.lists(st.lists(st.lists(TEXT.map(lambda text: text.replace("\n", " ")), max_size=3), min_size=1), min_size=1))
@EVERYTHING
def test_text_lines_are_copied(blocks) -> None:
    named = [[[{"t": line} for line in lines] for lines in parts] for parts in blocks]
    output = f"memory://{uuid4()}/out"
    store = open_store(job_folder.url(output, "j"))
    job = Job(name="j", deployment=Deployment(), input=Input(uri="/i"), output=Output(folder=output))
    ledger = MemoryLedger()
    ledger.open("j", epoch="1", lease_seconds=30, error_threshold=-1)
    ledger.extend("j", first=0, count=len(blocks), items=0, size=0, closed=True)
    writer = PartWriter(store, name := part_name("1", 0, "node", 0))
    entries = []
    for number, parts in enumerate(blocks):
        data = "".join(f"{line}\n" for lines in parts for line in lines).encode()
        made = tuple(
            Piece(items=1, succeeded=1, rows=len(lines), size=sum(len(f"{line}\n".encode()) for line in lines))
            for lines in parts
        )
        block = Block(
            mini_batch=number, attempt=1, items=len(parts), succeeded=len(parts), failed=0,
            rows=sum(map(len, parts)), seconds=0.0, encoding="text", size=len(data), pieces=made,
        )  # fmt: skip
        writer.add(block, data)
        entries.append(Entry.of(block))
    writer.seal()
    ledger.adopt("j", part=name, entries=entries)

    aggregate(job, store, ledger, publish=True)

    expected = "".join(f"{row['t']}\n" for row in rows_of(named))
    assert open_store(output).read("predictions.csv") == expected.encode()
