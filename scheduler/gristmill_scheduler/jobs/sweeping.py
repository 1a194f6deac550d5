"""Has uploads go that nothing names and no job reads: inputs, and the code and models of what was deleted."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from gristmill.errors import GristmillError
from gristmill_scheduler.jobs.record import State
from gristmill_scheduler.jobs.rows import Row
from gristmill_storage.workspace import Departures, Step, Workspace

#: Seconds for which an upload stays that somebody asked for: an invocation may follow.
ASKED_SECONDS: Final = 3600.0

log = logging.getLogger("gristmill.jobs")


class Naming(Protocol):
    """Tells what is named for good."""

    @property
    def registry(self) -> str:
        """What tells the registry of models from others; "": there is none."""

    def by_documents(self) -> Collection[str]:
        """Return the trees that deployments and data assets name."""

    def by_models(self) -> Collection[str]:
        """Return the trees that are models of the registry."""


@dataclass(frozen=True, kw_only=True)
class _Known:
    """What one look knows."""

    now: float
    #: Trees that are named, or read by jobs that are not over.
    needed: Collection[str]
    #: Of the others that jobs read: since when the last of these is over, in seconds since the epoch.
    over: dict[str, float]
    #: The registry that was asked; None: it is away.
    registry: str | None
    #: When each job was submitted that has not ended, and whose model a registry has.
    waiting: Sequence[float]


class Sweep:
    """Looks at all uploads of a workspace."""

    def __init__(self, workspace: Workspace, naming: Naming, *, seconds: float) -> None:
        """Take the workspace, what tells what is named, and how many seconds an upload stays that nothing needs."""
        self._uploads = workspace.uploads
        self._departures = Departures(workspace.store)
        self._naming = naming
        self._seconds = seconds

    def look(self, rows: Sequence[Row], now: float) -> None:
        """Take the next step with each upload that nothing needs, given all jobs.

        Raises:
            GristmillError: what the workspace's documents name cannot be told.

        """
        trees = self._departures.trees()  # what comes later is left to the next look
        if not trees:
            return
        known = self._known(rows, now)
        for tree, marks in trees.items():
            try:
                self._look_at(tree, marks, known)
            except GristmillError as error:
                log.warning("upload %s: whether it can go is not known now: %s", tree, error)

    def _known(self, rows: Sequence[Row], now: float) -> _Known:
        needed, over = set(self._naming.by_documents()), dict[str, float]()
        for row in rows:
            for tree in row.uploads:
                if row.over is None:
                    needed.add(tree)
                else:
                    over[tree] = max(row.over, over.get(tree, 0.0))
        try:
            needed.update(self._naming.by_models())
            registry: str | None = self._naming.registry
        except GristmillError as error:
            log.info("uploads that may be models stay: the registry cannot be asked: %s", error)
            registry = None
        waiting = [row.submitted for row in rows if row.registered and row.state is not State.ENDED]
        return _Known(now=now, needed=needed, over=over, registry=registry, waiting=waiting)

    def _look_at(self, tree: str, marks: Collection[str], known: _Known) -> None:
        if tree in known.needed:
            if "leaving" in marks:
                self._departures.need(tree)
        elif not (self._was_asked(tree) or ("registered" in marks and self._may_be_model(tree, known))):
            over = known.over.get(tree, 0.0)
            if self._departures.advance(tree, now=known.now, seconds=self._seconds, over=over) is None:
                log.info("upload %s: deleted; nothing needed it for long", tree)

    def _was_asked(self, tree: str) -> bool:
        asked = self._uploads.asked.get(tree)
        return asked is not None and time.monotonic() - asked < ASKED_SECONDS

    def _may_be_model(self, tree: str, known: _Known) -> bool:
        """Return whether a model may lie there: in a registry that nobody asked, or deleted, and a job has it yet."""
        if self._uploads.registry_of(tree) not in ("", known.registry):
            return True
        leaving = self._departures.look(tree)
        if leaving is None or leaving.step is not Step.UNNEEDED:
            return False
        return any(submitted <= leaving.since for submitted in known.waiting)
