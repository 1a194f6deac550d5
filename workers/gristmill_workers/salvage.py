"""Mini-batches of an instance that are being isolated: what their pieces gave is kept, and put together at the end."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gristmill.errors import StorageFailed
from gristmill_storage.parts import Block
from gristmill_workers.isolation import Isolation
from gristmill_workers.verdict import Halve, Outcome
from gristmill_workers.work import Failed, Scored, Work

#: Bytes of the rows of one mini-batch's pieces that stay in memory.
MEMORY_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class Result:
    """A mini-batch's outcome and where its rows and files are, as a part takes them."""

    block: Block
    data: bytes
    #: The file that has the rows where `data` does not.
    spool: Path | None
    #: The folder of the files that the script wrote.
    files: Path | None


@dataclass(frozen=True, kw_only=True)
class Step:
    """What follows from a piece's answer."""

    #: The mini-batch that it is of.
    work: Work
    #: How the piece failed, if it did.
    verdict: Halve | Outcome
    #: What is to be scored next.
    pieces: list[Work]
    #: There once the whole mini-batch is decided.
    result: Result | None


@dataclass
class _Kept:
    """Rows of pieces, by label: in memory while they are few, in files else."""

    #: Where the files lie that the pieces wrote, each one's in a folder named by its label.
    folder: Path
    in_memory: int = 0
    rows: dict[str, bytes | Path] = field(default_factory=dict)

    def put(self, event: Scored) -> None:
        label, spool = event.work.label, event.result.get("spool")
        if spool is not None:
            self.rows[label] = Path(spool)
        elif self.in_memory + len(event.data) <= MEMORY_BYTES:
            self.in_memory += len(event.data)
            self.rows[label] = event.data
        else:
            self.rows[label] = path = self.folder / f"{label}.rows"
            self.folder.mkdir(parents=True, exist_ok=True)
            path.write_bytes(event.data)

    def join(self, labels: Sequence[str], path: Path) -> tuple[bytes, Path | None]:
        """Return the rows in this order, or the path of a file with them; nothing else is left."""
        chosen = [self.rows.pop(label) for label in labels]
        self.drop()  # a piece may have failed by what others wrote
        in_memory = [rows for rows in chosen if isinstance(rows, bytes)]
        if len(in_memory) == len(chosen):
            return b"".join(in_memory), None
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as target:
            for rows in chosen:
                if isinstance(rows, bytes):
                    target.write(rows)
                else:
                    with rows.open("rb") as source:
                        shutil.copyfileobj(source, target, 1 << 20)
                    rows.unlink()
        return b"", path

    def drop(self) -> None:
        for label, rows in self.rows.items():
            if isinstance(rows, Path):
                rows.unlink(missing_ok=True)
            shutil.rmtree(self.folder / label, ignore_errors=True)
        self.rows.clear()


class Salvage:
    """Drives the isolations of an instance; not for several threads at once."""

    def __init__(self, staging: Path) -> None:
        """Take the folder in which scripts' files lie, each attempt's in one named by its label."""
        self._staging = staging
        self._open: dict[tuple[str, int], tuple[Isolation, _Kept]] = {}

    def begin(self, work: Work, cause: Halve) -> list[Work]:
        """Begin with a mini-batch whose last attempt failed; return the first pieces. It left nothing behind."""
        isolation = Isolation(work, cause)
        self._open[work.token, work.number] = isolation, _Kept(self._staging)
        return isolation.pieces()

    def take(self, event: Scored | Failed) -> Step | None:
        """Take a piece's answer; None: its mini-batch was given up meanwhile, and what the piece left is gone.

        Raises:
            StorageFailed: this machine's disk does not take the rows.

        """
        key = event.work.token, event.work.number
        if key not in self._open:
            self._drop(event)
            return None
        isolation, kept = self._open[key]
        try:
            verdict = isolation.take(event)
            if isinstance(verdict, Outcome) and isinstance(event, Scored) and event.result["outcome"] == "done":
                kept.put(event)
            else:
                self._drop(event)
            pieces = isolation.pieces()
            result = self._finish(isolation, kept) if isolation.decided else None
        except OSError as error:
            raise StorageFailed(f"{self._staging}: cannot be written: {error.strerror or error}") from error
        if result is not None:
            del self._open[key]
        return Step(work=isolation.work, verdict=verdict, pieces=pieces, result=result)

    def give_up(self) -> list[Work]:
        """Forget all that is not decided; return the mini-batches."""
        works = [isolation.work for isolation, _ in self._open.values()]
        for _, kept in self._open.values():
            kept.drop()
        self._open.clear()
        return works

    def _finish(self, isolation: Isolation, kept: _Kept) -> Result:
        isolated, label = isolation.outcome(), isolation.work.label
        labels = [work.label for work in isolated.kept]
        data, spool = kept.join(labels, self._staging / f"{label}.rows")
        files = self._staging / label
        self._join_files(labels, files)
        return Result(block=isolated.block, data=data, spool=spool, files=files if isolated.block.files else None)

    def _join_files(self, labels: Iterable[str], target: Path) -> None:
        """Move the pieces' files into one folder; those of one name, which are made of lines, one behind the other."""
        for label in labels:
            folder = self._staging / label
            for source in sorted(path for path in folder.rglob("*") if path.is_file()):
                _append_or_move(source, target / source.relative_to(folder))
            shutil.rmtree(folder, ignore_errors=True)

    def _drop(self, event: Scored | Failed) -> None:
        if isinstance(event, Scored) and event.result.get("spool"):
            Path(event.result["spool"]).unlink(missing_ok=True)
        shutil.rmtree(self._staging / event.work.label, ignore_errors=True)


def _append_or_move(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        source.replace(target)
        return
    with target.open("ab") as together, source.open("rb") as more:
        shutil.copyfileobj(more, together, 1 << 20)
