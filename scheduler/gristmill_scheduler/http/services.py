"""What the routes work with: the objects behind them, made once and handed down."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Literal, Protocol

from gristmill_scheduler.http.forwarded import asked_at
from gristmill_scheduler.resources.shown import Shown
from gristmill_storage.workspace import Workspace

#: Bytes of one upload at most, unless the server is told another number.
MOST_UPLOAD_BYTES: Final = 64 << 30

Document = Mapping[str, Any]


class Named(Protocol):
    """Resources that a name finds: endpoints, datastores, computes."""

    def put(self, name: str, document: Document, *, expected: int | None = None, by: str = "") -> Shown:
        """Make or replace one."""

    def get(self, name: str) -> Shown:
        """Return one."""

    def delete(self, name: str, *, expected: int | None = None, by: str = "") -> None:
        """Delete one."""

    def list(self) -> list[Shown]:
        """Return all."""


class DeploymentsOf(Protocol):
    """The deployments of endpoints."""

    def put(
        self,
        endpoint: str,
        name: str,
        document: Document,
        *,
        expected: int | None = None,
        by: str = "",
        set_default: bool = False,
        skip_script_validation: bool = False,
    ) -> Shown:
        """Make or replace one, and let the endpoint invoke it if asked for."""

    def get(self, endpoint: str, name: str) -> Shown:
        """Return one."""

    def delete(self, endpoint: str, name: str, *, expected: int | None = None, by: str = "") -> None:
        """Delete one."""

    def list(self, endpoint: str) -> list[Shown]:
        """Return all of an endpoint."""


class VersionedAssets(Protocol):
    """Data, environments, models."""

    def put(self, name: str, version: str, document: Document, *, expected: int | None = None, by: str = "") -> Shown:
        """Make a version, or change what is said of it."""

    def add(self, name: str, document: Document, *, by: str = "") -> Shown:
        """Make the next version."""

    def get(self, name: str, version: str) -> Shown:
        """Return a version."""

    def labelled(self, name: str, label: str) -> Shown:
        """Return the version that has a label."""

    def versions(self, name: str, *, archived: Literal["exclude", "only", "include"] = "exclude") -> list[Shown]:
        """Return the versions of one."""

    def archive(self, name: str, version: str | None, archived: bool, *, by: str = "") -> list[Shown]:
        """Hide a version (None: all) from lists, or show it again."""

    def delete(self, name: str, version: str, *, expected: int | None = None, by: str = "") -> None:
        """Delete a version."""

    def list(self, *, archived: Literal["exclude", "only", "include"] = "exclude") -> list[Shown]:
        """Return the latest version of each."""


class UploadsTo(Protocol):
    """What clients send."""

    def exists(self, tree: str) -> bool:
        """Return whether a tree is there."""

    def receive(self, tree: str, stream: BinaryIO, *, most_bytes: int, most_files: int) -> None:
        """Take a tree as a tar stream."""

    def url(self, tree: str, path: str = "") -> str:
        """Return the address of a tree."""


class JobsOf(Protocol):
    """What the server's own routes need of its jobs; those of jobs know the rest."""

    def counts(self, sees: Callable[[str], bool]) -> dict[str, int]:
        """Return how many jobs of the endpoints that a caller sees have each status."""

    def endpoint_of(self, name: str) -> str:
        """Return the endpoint that a job belongs to."""


@dataclass(frozen=True, kw_only=True)
class Services:
    """The objects behind the routes."""

    workspace: Workspace
    endpoints: Named
    deployments: DeploymentsOf
    models: VersionedAssets
    data: VersionedAssets
    environments: VersionedAssets
    datastores: Named
    computes: Named
    uploads: UploadsTo
    jobs: JobsOf
    #: Tells what each node says of itself.
    nodes: Callable[[], list[dict[str, Any]]]
    #: Tells how many instances wait on a compute's queue.
    waiting: Callable[[str], int]
    #: Tells where the registry of models is, and whether it answers; at once.
    registry: Callable[[], dict[str, Any] | None] = lambda: None


@dataclass(frozen=True, kw_only=True)
class About:
    """What a server says of itself and what it bounds."""

    #: Its address as clients are to use it, without a slash at the end.
    url: str
    #: Whether that is the address whatever a trusted proxy says.
    fixed: bool = True
    #: Folders whose files a request may name.
    allowed_roots: tuple[str, ...] = ()
    #: Bytes of one upload.
    most_upload_bytes: int = MOST_UPLOAD_BYTES
    #: Files of one upload.
    most_upload_files: int = 1_000_000

    def address(self) -> str:
        """Return the server's address as the one who asks now is to use it."""
        return self.url if self.fixed else asked_at.get() or self.url
