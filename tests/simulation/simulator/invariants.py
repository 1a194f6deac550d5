"""What must hold at every step and at the end; each breach is a `Violation` with the facts."""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from simulator.fibers import Violation
from simulator.scorers import fate_of, rows_of

from gristmill_storage import job_folder
from gristmill_storage.ledger import Lease
from gristmill_storage.parts import PartReader, list_parts

if TYPE_CHECKING:
    from simulator.world import World

_SUMS = {"items_done": "items", "succeeded": "succeeded", "failed": "failed", "rows": "rows", "size": "size"}


class Checker:
    """Follows the ledger transition by transition, with books of its own."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._blocks: dict[str, dict[int, Any]] = {}
        self._begin()

    def _begin(self) -> None:
        """Open new books: the ledger's life is a new one."""
        self._sums: Counter[str] = Counter()
        self._done: dict[int, str] = {}
        self._counted: set[str] = set()
        self._due: dict[int, int] = {}
        self._attempts: Counter[int] = Counter()
        self._copies: Counter[int] = Counter()
        self._copy_tokens: set[str] = set()
        self._found = sorted(list_parts(self._world.folder))

    def before(self, job: str, name: str, named: dict[str, Any]) -> None:
        """Look before a transition."""
        view = self._world.look.view(job)
        self._epoch = view.epoch if view else None

    def after(self, job: str, name: str, named: dict[str, Any], answer: Any, error: Any) -> None:
        """Look after a transition."""
        view = self._world.look.view(job) if job == self._world.job.name else None
        if view is None or self._is_complete():
            return
        if view.epoch != self._epoch:
            self._begin()
        if error is None:
            follow = getattr(self, f"_after_{name}", None)
            if follow:
                follow(named, answer)
        if name not in ("snapshot", "parts", "wait"):
            if view.state != "closed":  # then nothing is put back any more
                self._check_places(view)
            self._check_sums(view)

    def _is_complete(self) -> bool:
        """Return whether the good end is written: then the parts go, and a ledger that is being made again is moot."""
        folder = self._world.folder
        return folder.exists(job_folder.RESULT) and b'"Completed"' in folder.read(job_folder.RESULT)

    def _after_lease(self, named: dict[str, Any], lease: Any) -> None:
        if not isinstance(lease, Lease):
            return
        for number in range(lease.first, lease.last + 1):
            wait = self._due.get(number, 0) - self._world.now_ms()
            self._expect(wait <= 0, f"mini-batch {number} was leased {wait} ms before its time")
            self._expect(number not in self._done, f"mini-batch {number} was leased although it is done")
            known = self._attempts[number]
            self._expect(
                lease.attempts == known, f"mini-batch {number}: {lease.attempts} attempts told, {known} failed"
            )
            allowed = self._world.attempts + self._copies[number]
            self._expect(lease.attempts < allowed, f"mini-batch {number}: attempt {lease.attempts + 1}")
            if lease.copy:
                self._copy_tokens.add(lease.token)

    def _after_fail(self, named: dict[str, Any], held: bool) -> None:
        number = named["mini_batch"]
        view = self._world.look.view(self._world.job.name)
        if held and view is not None and number in view.returned:  # else its other attempt goes on and decides
            self._attempts[number] += 1
            # A copy's failure is never the last, even where the other attempt was lost with its instance meanwhile.
            self._copies[number] += named["token"] in self._copy_tokens
            self._due[number] = self._world.now_ms() + math.ceil(named["delay"] * 1000)

    def _after_commit(self, named: dict[str, Any], commit: Any) -> None:
        if named["part"] in self._counted or not commit.accepted:
            return
        self._counted.add(named["part"])
        accepted = set(commit.accepted)
        for entry in named["entries"]:
            if (entry.first, entry.last) in accepted:
                self._count(named["part"], entry, fresh_only=False)

    def _after_adopt(self, named: dict[str, Any], _answer: None) -> None:
        view = self._world.look.view(self._world.job.name)
        if named["part"] in self._counted or view is None or view.state == "closed":
            return
        for entry in named["entries"]:
            if entry.first in self._done:
                continue
            self._counted.add(named["part"])
            self._count(named["part"], entry, fresh_only=True)
            better = [part for part in self._found if part < named["part"] and self._whole(part, entry.first)]
            self._expect(
                not better, f"mini-batch {entry.first} was adopted from {named['part']}, not from {better[:1]}"
            )

    def _whole(self, part: str, number: int) -> bool:
        block = self._read(part).get(number)
        return block is not None and not block.failed

    def _count(self, part: str, entry: Any, *, fresh_only: bool) -> None:
        blocks = self._read(part)
        held = [blocks.get(number) for number in range(entry.first, entry.last + 1)]
        self._expect(None not in held, f"part {part} counts for {entry.first}-{entry.last} and is not there whole")
        for name, field in _SUMS.items():
            told, there = getattr(entry, field), sum(getattr(block, field) for block in held)
            self._expect(
                told == there, f"part {part}: {name} of {entry.first}-{entry.last} is {told}, it holds {there}"
            )
            self._sums[name] += told
        for number in range(entry.first, entry.last + 1):
            other = self._done.setdefault(number, part)
            self._expect(other == part, f"mini-batch {number} counts from {other} and from {part}")

    def _read(self, part: str) -> dict[int, Any]:
        if part not in self._blocks:
            if not self._world.folder.exists(job_folder.part_path(part)):
                return {}
            with PartReader(self._world.folder, part) as reader:
                reader.verify()
                self._blocks[part] = {block.mini_batch: block for block in reader.blocks()}
        return self._blocks[part]

    def _check_places(self, view: Any) -> None:
        """Each mini-batch is in exactly one place."""
        places = [*view.leased, *view.returned, *view.done]
        places += [number for number in range(view.cursor, view.planned) if number not in view.done]
        if len(places) == view.planned and len(set(places)) == view.planned:
            return
        twice = sorted(number for number, count in Counter(places).items() if count > 1)
        lost = sorted(set(range(view.planned)) - set(places))
        raise Violation(f"mini-batches in two places: {twice}, in none: {lost}")

    def _check_sums(self, view: Any) -> None:
        done = set(view.done)
        self._expect(done == set(self._done), f"done are {sorted(done)}, accepted were {sorted(self._done)}")
        for name in _SUMS:
            told, there = view.sums[name], self._sums[name]
            self._expect(told == there, f"{name} is {told}, the accepted entries have {there}")

    def check_end(self) -> None:
        """Compare what was published with what an undisturbed run gives."""
        world = self._world
        self._expect(not world.look.unkept(), f"keys without a time to live: {world.look.unkept()}")
        rows, errors = expected(world)
        output = world.output.read(world.job.deployment.settings.output_file_name) if rows else b""
        self._expect(output == rows, f"the output differs: {_difference(output, rows)}")
        found = world.output.read("errors.jsonl").splitlines() if errors else []
        told = [(line["file"], line["mini_batch"]) for line in map(json.loads, found)]
        self._expect(told == errors, f"errors.jsonl tells of {told}, not of {errors}")
        items = json.loads(world.output.read("summary.json"))["items"]
        total = sum(map(len, world.batches))
        counts = (items["succeeded"], items["failed"])
        self._expect(counts == (total - len(errors), len(errors)), f"the summary counts {items}")

    @staticmethod
    def _expect(good: bool, message: str) -> None:
        if not good:
            raise Violation(message)


def expected(world: World) -> tuple[bytes, list[tuple[str, int]]]:
    """Return the output of an undisturbed run, and whose errors it has."""
    rows, errors = [], []
    for number, items in enumerate(world.batches):
        fate = fate_of(world, number)
        if fate.failures >= world.attempts:
            bad = items[:1] if world.isolate else items
            errors += [(item, number) for item in bad]
            rows.append(rows_of(items[len(bad) :], partial=False))
            continue
        rows.append(rows_of(items, partial=fate.partial))
        errors += [(items[-1], number)] if fate.partial else []
    return b"".join(rows), errors


def _difference(found: bytes, wanted: bytes) -> str:
    have, want = Counter(found.splitlines()), Counter(wanted.splitlines())
    missing, more = sorted((want - have).elements())[:5], sorted((have - want).elements())[:5]
    return f"missing {missing}, too many {more}" if missing or more else "the same lines in another order"
