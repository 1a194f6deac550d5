"""What an invocation needs of the resources: which deployment is meant, what it is, and where data lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gristmill import spec
from gristmill_scheduler.jobs.sweeping import Naming


class Located(Protocol):
    """Where something lies."""

    @property
    def url(self) -> str:
        """Address that nodes open."""

    @property
    def type(self) -> str | None:
        """What it is, where a registered asset says it."""

    @property
    def origin(self) -> str:
        """The address as it was given, without what is secret."""


class References(Protocol):
    """Resolves what users write."""

    def uri(self, text: str, *, kind: Literal["input", "output", "code", "model"]) -> Located:
        """Return where a reference points."""


class Deployments(Protocol):
    """Their deployments."""

    def list(self, endpoint: str) -> Sequence[object]:
        """Return all of an endpoint; ResourceNotFound where there is no such endpoint."""

    def route(self, endpoint: str, deployment: str | None) -> str:
        """Return which one an invocation goes to: the one named, the default, or the only one."""

    def job_deployment(self, endpoint: str, deployment: str, overrides: Sequence[str]) -> tuple[spec.Deployment, int]:
        """Return the spec for one job, and the version of the document that it was made from."""


@dataclass(frozen=True, kw_only=True)
class Catalog:
    """The resources."""

    deployments: Deployments
    references: References
    naming: Naming
