"""Computes: named pools of nodes, and how many of them one job may ask for.

A node joins a pool by its name (`--compute NAME`); nothing is started or stopped here. `local` is built in and takes
any number; a document of that name sets its limits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gristmill.deployment.references import compute_rule
from gristmill.deployment.report import Refused
from gristmill.documents import load_compute
from gristmill.errors import Conflict, Mistake
from gristmill_scheduler.resources.faults import fault
from gristmill_scheduler.resources.records import Body, Record, Records
from gristmill_scheduler.resources.shown import Shown, ShownList
from gristmill_storage.workspace import Workspace

#: The compute that is always there.
LOCAL: Final = "local"

#: What holds where a document does not say, as Azure's own SDK has it.
_MIN_INSTANCES: Final = 0
_MAX_INSTANCES: Final = 4


class Computes:
    """The computes of a workspace."""

    def __init__(self, workspace: Workspace) -> None:
        """Take the workspace that keeps them."""
        self._records = Records(workspace.documents("computes"), missing=_missing)

    def put(self, name: str, document: Mapping[str, Any], *, expected: int | None = None, by: str = "") -> Shown:
        """Make or replace a compute.

        Raises:
            Conflict: it is there, and `expected` is 0.
            InvalidDocument: the document cannot be used; it lists every fault.

        """
        _check_name(name)
        given = {**_defaults(name), **load_compute(document, name=name)}
        least, most = given["min_instances"], given.get("max_instances")
        if most is not None and least > most:
            raise fault(f"compute {name}", "min_instances", f"{least} is more than max_instances {most}; give both")
        body: Body = {"document": given}
        return _shown(self._records.write(name, lambda _found: body, expected=expected, by=by))

    def get(self, name: str) -> Shown:
        """Return a compute.

        Raises:
            ResourceNotFound: there is none of that name.

        """
        found = self._records.find(name)
        if found is None and name == LOCAL:
            return _built_in()
        return _shown(found or self._records.get(name))

    def delete(self, name: str, *, expected: int | None = None, by: str = "") -> None:  # noqa: ARG002 - as elsewhere
        """Delete a compute; its nodes go on, and jobs that wait for it wait on.

        Raises:
            Conflict: it is the built-in one.
            ResourceNotFound: there is none of that name.

        """
        if name == LOCAL:
            raise Conflict(f"compute {LOCAL}: it is built in and cannot be deleted")
        self._records.delete(name, expected=expected)

    def list(self) -> ShownList:
        """Return all computes, sorted by name."""
        shown = {record.name: _shown(record) for record in self._records.all()}
        shown.setdefault(LOCAL, _built_in())
        return [shown[name] for name in sorted(shown)]

    def check(self, name: str, instances: int) -> None:
        """Refuse a compute that is not there, or that a job asks too much of.

        Raises:
            Mistake: `instances` is more than its max_instances.
            ResourceNotFound: there is none of that name.

        """
        most = self.get(name).document.get("max_instances")
        if most is not None and instances > most:
            raise Mistake(
                f"instance_count: {instances} is more than compute {name} has, max_instances {most}; ask for fewer "
                "instances, or give the compute more"
            )


def _defaults(name: str) -> dict[str, Any]:
    """Return what holds where a document does not say; `local` has no limit then."""
    if name == LOCAL:
        return {"type": LOCAL, "min_instances": _MIN_INSTANCES}
    return {"type": "amlcompute", "min_instances": _MIN_INSTANCES, "max_instances": _MAX_INSTANCES}


def _built_in() -> Shown:
    document = {"id": f"/computes/{LOCAL}", "name": LOCAL, **_defaults(LOCAL), "provisioning_state": "Succeeded"}
    return Shown(document=document, version=0)


def _shown(record: Record) -> Shown:
    document = {
        "id": f"/computes/{record.name}",
        **record.document,
        "provisioning_state": "Succeeded",
        "creation_context": record.context,
    }
    return Shown(document=document, version=record.version, created=record.created)


def _check_name(name: str) -> None:
    try:
        found = compute_rule(name)
    except Refused as refused:
        raise Mistake(f"name: {refused.message}") from None
    if found != name:
        raise Mistake(f"name: {name[:80]!r} is a reference; give the name alone, {found}")


def _missing(name: str) -> str:
    return f"compute {name}: there is none on this server; make it first (compute create --name {name}), or use local"
