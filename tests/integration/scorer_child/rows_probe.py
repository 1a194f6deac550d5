"""Run by any Python: writes many results as csv and jsonl, and again value by value; both must be the same bytes.

Usage: rows_probe.py SCORER_FOLDER SEED; prints how many results were written, and of how many all values were plain.
"""

from __future__ import annotations

import csv
import datetime as dt
import decimal
import enum
import importlib.util
import random
import sys
from collections import namedtuple
from types import SimpleNamespace

FOLDER, SEED = sys.argv[1:]
spec = importlib.util.spec_from_file_location(
    "gristmill_scorer", FOLDER + "/__init__.py", submodule_search_locations=[FOLDER]
)
sys.modules[spec.name] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules[spec.name])

from gristmill_scorer import columns, csvtext, jsonl, rows  # noqa: E402
from gristmill_scorer.formats import Format, Unencodable  # noqa: E402
from gristmill_scorer.sink import Sink  # noqa: E402

Point = namedtuple("Point", ["x", "y"])  # noqa: PYI024
Whole = enum.IntEnum("Whole", ["ONE", "TWO"])
Text = type("Text", (str,), {"__str__": lambda _: "other"})
Real = type("Real", (float,), {})


class Loud:
    def __str__(self):
        raise ValueError("no text")


PLAIN = [
    *("", "a", "a b", "ü", "caf\udce9", "\0", "50 %s", "%(a)s", " lead", "=1", "'", "i0001.png", "\u2028", "true"),
    *(0, -1, 7, 2**63, -(2**200), True, False),
    *(0.0, -0.0, 1.5, 1e16, 1e-5, 1e22, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, float("inf"), float("-inf")),
]
GAPS = [None, float("nan")]
QUOTED = ['say "x"', "a,b", "a;b", "one\ntwo", "\r", "\r\n", "\n", ",", '"', '""', "x\r\n"]
ODD = [
    *(b"", b"\xff", decimal.Decimal("1.50"), decimal.Decimal("nan"), dt.date(2020, 1, 2), dt.time(3)),
    *([1, 2], (1, float("nan")), {"k": None}, {True: 1, None: float("nan")}, {1}, Whole.TWO, Text("t"), Real("nan")),
    *(Real(2.5), Point(1, "x"), 10**5000, Loud(), object, "\ud800", 1j, range(3)),
]
POOLS = [PLAIN, PLAIN[:14], PLAIN[14:19], PLAIN[21:], PLAIN + GAPS, PLAIN + GAPS + QUOTED, PLAIN + GAPS + QUOTED + ODD]


def value_by_value(elements, form):
    """Return the bytes of a result as they are by definition, or what is in the way."""
    try:
        if form.kind == "jsonl":
            return "".join(jsonl._lines(elements, 0, "prediction")).encode("utf-8", "backslashreplace")
        _, found = columns._tabulated(elements, "prediction")
        lines = []
        writer = csv.writer(SimpleNamespace(write=lines.append), delimiter=form.delimiter, lineterminator="\r\n")
        for index, row in enumerate(found):
            try:
                writer.writerow(["" if jsonl.is_missing(cell) else cell for cell in row])
            except Exception as error:
                raise Unencodable.element(index, elements[index], error) from error
        return "".join([line[:-2] + "\n" for line in lines]).encode("utf-8", "surrogateescape")
    except (Unencodable, UnicodeEncodeError) as error:
        return str(error).partition("cannot be written: ")[2]


def as_written(elements, form):
    sink = Sink("/nowhere")
    try:
        rows.write(elements, form, sink)
    except Unencodable as error:
        return str(error).partition("cannot be written: ")[2]
    return sink.finish()[0]


def result(chance):
    """Return a result of run(): elements of one shape, or nearly so."""
    pool, width, count = chance.choice(POOLS), chance.randrange(4), chance.choice([1, 2, 5, 30])
    keys = chance.sample(["a", "b c", "%s", 'q"', "ü", 1, True, None], width)
    shapes = {
        "value": lambda: chance.choice(pool),
        "tuple": lambda: tuple(chance.choice(pool) for _ in range(width)),
        "list": lambda: [chance.choice(pool) for _ in range(width)],
        "ragged": lambda: [chance.choice(pool) for _ in range(chance.randrange(4))],
        "dict": lambda: {key: chance.choice(pool) for key in keys},
        "shuffled": lambda: {key: chance.choice(pool) for key in chance.sample(keys, len(keys))},
        "point": lambda: Point(chance.choice(pool), chance.choice(pool)),
    }
    names = [chance.choice(list(shapes))] * count
    if chance.random() < 0.1:
        names[-1] = chance.choice(list(shapes))
    return [shapes[name]() for name in names]


def main():
    chance = random.Random(int(SEED))
    forms = [Format("csv", True, ","), Format("csv", True, ";"), Format("csv", True, "5"), Format("jsonl")]
    one_by_one, quickly = csvtext.row_by_row, 0

    def counting(*arguments):
        nonlocal quickly
        quickly -= 1
        return one_by_one(*arguments)

    csvtext.row_by_row = counting
    for _ in range(3000):
        elements, form = result(chance), chance.choice(forms)
        quickly += form.kind == "csv"
        expected, found = value_by_value(elements, form), as_written(elements, form)
        if isinstance(expected, str) and isinstance(found, str) and "surrogates" in expected + found:
            continue  # which of its letters is in the way is told by its place in the text
        assert found == expected, (elements, form.kind, found, expected)
    sys.stdout.write(f"3000 {quickly}")


main()
