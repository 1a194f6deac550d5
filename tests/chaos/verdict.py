"""What a job left, held against what it had to leave."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from chaos.workload import MINI_BATCH, Expected
from chaos.world import World


@dataclass(kw_only=True)
class Verdict:
    """Everything that is wrong with what a job left; nothing, where it is as it should be."""

    lost: int = 0
    twice: int = 0
    #: Rows that no item has.
    foreign: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def good(self) -> bool:
        """Whether all is as it should be."""
        return not (self.lost or self.twice or self.foreign or self.faults)


def judge(world: World, result: dict[str, Any] | None, output: str, folder: str, expected: Expected) -> Verdict:
    """Judge a job by its result document, its output folder and its own folder."""
    if result is None:
        return Verdict(faults=["the job did not end"])
    if result["status"] != "Completed":
        return Verdict(faults=[f"the job ended {result['status']}: {result['error']}"])
    verdict = Verdict()
    _judge_rows(verdict, world.read(f"{output}/predictions.csv"), expected)
    _judge_errors(verdict, world.read(f"{output}/errors.jsonl"), expected)
    _judge_summary(verdict, world.read(f"{output}/summary.json"), expected)
    verdict.faults.extend(world.prove(folder))
    return verdict


def _judge_rows(verdict: Verdict, data: bytes | None, expected: Expected) -> None:
    if data is None:
        verdict.lost = len(expected.rows)
        verdict.faults.append("there is no output")
        return
    found, wanted = Counter(data.decode(errors="replace").splitlines()), Counter(expected.rows)
    verdict.lost = sum((wanted - found).values())
    surplus = found - wanted
    verdict.twice = sum(number for row, number in surplus.items() if row in wanted)
    verdict.foreign = surplus.total() - verdict.twice
    if found == wanted and data != expected.output:
        verdict.faults.append("the rows are right and their order is not")


def _judge_errors(verdict: Verdict, data: bytes | None, expected: Expected) -> None:
    lines = [json.loads(line) for line in (data or b"").splitlines()]
    found = [line["mini_batch"] for line in lines]
    wanted = [number for number in sorted(expected.failed) for _ in range(MINI_BATCH)]
    if found != wanted:
        strange = [line for line in lines if line["mini_batch"] not in expected.failed][:3]
        verdict.faults.append(f"errors.jsonl: mini-batches {found}, not {wanted}; strange: {strange}")
    files = [line["file"] for line in lines]
    if len(set(files)) != len(files):
        verdict.faults.append("errors.jsonl: an item is there twice")


def _judge_summary(verdict: Verdict, data: bytes | None, expected: Expected) -> None:
    if data is None:
        verdict.faults.append("there is no summary")
        return
    summary = json.loads(data)
    failed = len(expected.failed) * MINI_BATCH
    wanted = {"total": expected.items, "succeeded": expected.items - failed, "failed": failed}
    for key, value in (("items", wanted), ("rows", len(expected.rows)), ("status", "Completed")):
        if summary[key] != value:
            verdict.faults.append(f"summary.json: {key} is {summary[key]}, not {value}")
