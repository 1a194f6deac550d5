"""What the scheduler was told, so that one which takes another's place can be told the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: Commands by which a job begins here. The others are about a job that was begun.
_BEGINNINGS: Final = frozenset({"submit", "resume", "retry", "take"})


class Orders:
    """Hears both sides of the talk with the scheduler."""

    def __init__(self, compute: str) -> None:
        """Take the compute that the job's instances are sent to."""
        self._compute = compute
        self._told: list[Mapping[str, Any]] = []
        self._folder: str | None = None
        self._leader = ""

    def told(self, command: Mapping[str, Any]) -> None:
        """Note what the scheduler is told."""
        self._told.append(command)

    def heard(self, event: Mapping[str, Any]) -> None:
        """Note what the scheduler says."""
        if event.get("event") == "submitted":
            self._folder, self._leader = event["folder"], event.get("leader", "")

    def again(self) -> list[Mapping[str, Any]]:
        """Return what the successor of a dead one is to be told: all of it, or to take on the job that came to be.

        The lead of who is dead need not run out.
        """
        if self._folder is None:
            return list(self._told)
        take = {"command": "take", "folder": self._folder, "compute": self._compute, "displace": self._leader}
        return [take, *(command for command in self._told if command["command"] not in _BEGINNINGS)]
