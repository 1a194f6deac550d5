"""Mini-batches that are given by their lines in the manifest, and answered by column where all goes well."""

from __future__ import annotations

import json
from typing import Any

from gristmill_workers.scorer import protocol

SCRIPT = """
    import os
    def init(): pass
    def run(batch):
        name = os.path.basename(batch[0])
        if name == "raises": raise ValueError("no")
        if name == "few": return []
        if name == "large": return ["x" * 20_000_000]
        if name == "writes": open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], "own.txt"), "w").close()
        if name == "wide": return [(path, 1) for path in batch]
        return [os.path.basename(path) for path in batch]
"""


def give(child: Any, *batches: list[str], attempt: int = 1) -> None:
    lines = [json.dumps({"n": n, "items": items, "bytes": 5}) for n, items in enumerate(batches, 7)]
    protocol.write_frame(child.commands, {"type": "lines", "attempt": attempt}, "\n".join(lines).encode("ascii"))


def told(child: Any, count: int) -> list[tuple[str, list[int], bytes]]:
    """Return the frames, as (type, mini-batches, rows), until so many mini-batches are answered."""
    found: list[tuple[str, list[int], bytes]] = []
    while sum(len(numbers) for _, numbers, _ in found) < count:
        header, payload = child.frame()
        numbers = header["n"] if header["type"] == "scored" else [result["n"] for result in header["results"]]
        found.append((header["type"], numbers, payload))
    return found


def test_what_goes_well_is_answered_by_column(launch: Any, python: str) -> None:
    child = launch(SCRIPT, python=python, format={"kind": "csv", "header": True, "delimiter": ","}).ready()

    give(child, ["a", "b"], ["caf\udce9"], ["two\nlines"], attempt=3)
    header, payload = child.frame()

    assert payload == b'a\nb\ncaf\xe9\n"two\nlines"\n'
    assert min(header.pop("us")) >= 0
    assert header.pop("writing") >= 0
    assert header == {
        "type": "scored", "n": [7, 8, 9], "rows": [2, 1, 1], "bytes": [4, 5, 12], "encoding": "csv",
        "columns": ["prediction"],
    }  # fmt: skip
    assert child.stop() == {"type": "stopped", "files": []}


def test_what_does_not_is_told_by_itself_and_in_order(launch: Any, edge_python: str) -> None:
    child = launch(SCRIPT, python=edge_python, format={"kind": "csv", "header": True, "delimiter": ","}).ready()

    give(child, ["a"], ["raises"], ["b"], ["few"], ["writes"], ["large"], ["c"], ["wide"], ["d"])

    assert [(kind, numbers) for kind, numbers, _ in told(child, 9)] == [
        ("scored", [7]), ("results", [8]), ("scored", [9]), ("results", [10, 11, 12]), ("scored", [13]),
        ("scored", [14]), ("scored", [15]),
    ]  # fmt: skip


def test_a_frame_of_both_kinds_follows_the_other(launch: Any, edge_python: str) -> None:
    child = launch(SCRIPT, python=edge_python).ready()

    give(child, ["a"])
    child.send(["b"])
    give(child, ["c"])

    assert [kind for kind, _, _ in told(child, 3)] == ["scored", "results", "scored"]
