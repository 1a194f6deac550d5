"""How an upload goes that nothing needs: in steps, hours and days apart, that are taken back where it is needed again.

    uploads/<tree>.leaving      {"step": "unneeded", "since": seconds since the epoch}

    unneeded    nothing names it and nothing reads it; whoever names it again finds it
    hidden      it is said not to be there: its mark `.complete` is gone, its files are not. Whoever found it a moment
                before can still use it, and what they made of it names it by the next look
    going       its files are being deleted

Each step is written down before it is done, so that any server goes on where another one died.
"""

from __future__ import annotations

import json
import re
import shutil
import uuid
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from gristmill.errors import AlreadyExists
from gristmill_storage.documents import document_or_none
from gristmill_storage.store import Store
from gristmill_storage.workspace.uploads import ARRIVING, FOLDER, mark_of

#: Seconds for which the files of a hidden tree stay: longer than any request that found it just before.
HIDDEN_SECONDS: Final = 3600.0

_NAME: Final = re.compile(r"([0-9a-f]{64})\.[a-z]+")


class Step(StrEnum):
    """How far a tree is on its way out."""

    UNNEEDED = "unneeded"
    HIDDEN = "hidden"
    GOING = "going"


@dataclass(frozen=True, kw_only=True)
class Leaving:
    """What a tree's mark says."""

    step: Step
    #: Seconds since the epoch.
    since: float


@dataclass(frozen=True)
class Departures:
    """The uploads of a workspace that nothing needs. All methods raise StorageFailed where the store fails."""

    #: The workspace.
    store: Store

    def trees(self) -> dict[str, frozenset[str]]:
        """Return all trees with their marks (`complete`, `registered`, `leaving`), by one listing."""
        found: dict[str, set[str]] = {}
        for entry in self.store.list(f"{FOLDER}/", recursive=False):
            name = entry.path.removeprefix(f"{FOLDER}/")
            if match := _NAME.fullmatch(name):
                found.setdefault(match[1], set()).add(name.rpartition(".")[2])
        return {tree: frozenset(marks) for tree, marks in found.items()}

    def look(self, tree: str) -> Leaving | None:
        """Return how far a tree is on its way out; None where it stays."""
        said = document_or_none(self.store, mark_of(tree, "leaving"))
        return _read(said) if said else None

    def need(self, tree: str) -> None:
        """Take back what was done to have a tree go; one whose files are being deleted goes all the same."""
        leaving = self.look(tree)
        if leaving is None or (leaving.step is Step.GOING and not self._is_whole(tree)):
            return
        if leaving.step is Step.HIDDEN:
            with suppress(AlreadyExists):
                self.store.create(mark_of(tree), b"{}")
        self.store.delete(mark_of(tree, "leaving"))

    def advance(self, tree: str, *, now: float, seconds: float, over: float = 0.0) -> Step | None:
        """Take the next step with a tree that nothing needs, if it is time; return it. None: no file is left.

        Args:
            tree: The tree.
            now: Seconds since the epoch.
            seconds: For which it stays although nothing needs it.
            over: Since when no job reads it, where jobs did.

        """
        leaving, whole = self.look(tree), self._is_whole(tree)
        if leaving is None or (whole and leaving.step is not Step.UNNEEDED):  # it is new, or was sent again
            return self._note(tree, Step.UNNEEDED, now)
        if leaving.step is Step.UNNEEDED and now - max(leaving.since, over) >= seconds:
            self._note(tree, Step.HIDDEN, now)
            self.store.delete(mark_of(tree))
            return Step.HIDDEN
        if leaving.step is Step.HIDDEN and now - leaving.since >= HIDDEN_SECONDS:
            self._note(tree, Step.GOING, now)
        elif leaving.step is not Step.GOING:
            return leaving.step
        self._delete(tree)
        return None

    def _is_whole(self, tree: str) -> bool:
        return self.store.exists(mark_of(tree))

    def _note(self, tree: str, step: Step, since: float) -> Step:
        said = json.dumps({"step": step, "since": since}).encode()
        self.store.replace(mark_of(tree, "leaving"), said)
        return step

    def _delete(self, tree: str) -> None:
        place = f"{FOLDER}/{tree}"
        local, grave = self.store.local_path(place), None
        if local is None:
            self.store.delete_tree(place)
        else:  # at once: a tree that is sent at this moment takes what lies there for itself
            grave = local.with_name(f"{ARRIVING}{uuid.uuid4().hex}")
            with suppress(FileNotFoundError):
                local.rename(grave)
        # What was sent meanwhile may have lost files: it is to be sent again.
        self.store.delete(mark_of(tree))
        if grave:
            shutil.rmtree(grave, ignore_errors=True)
        for word in ("kept", "registered", "leaving"):
            self.store.delete(mark_of(tree, word))


def _read(said: dict[str, Any]) -> Leaving | None:
    try:
        return Leaving(step=Step(said["step"]), since=float(said["since"]))
    except (KeyError, TypeError, ValueError):
        return None
