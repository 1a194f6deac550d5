"""Deployments: what an endpoint's jobs are scored with, stored whole, so that a job needs nothing else to start.

batch-deployments/<endpoint>/<deployment>
body: {"document": in the current form, references pinned, "deployment": spec.to_json of it, "life": the endpoint's}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gristmill import spec
from gristmill.errors import Conflict, Mistake, PreconditionFailed, ResourceNotFound
from gristmill_scheduler.resources.changes import changed
from gristmill_scheduler.resources.computes import Computes
from gristmill_scheduler.resources.deployment_view import given_back, show_deployment
from gristmill_scheduler.resources.endpoints import DEPLOYMENTS, LIFE, Endpoints, default_of, life_of
from gristmill_scheduler.resources.names import deployment_name
from gristmill_scheduler.resources.preparing import Preparation
from gristmill_scheduler.resources.records import Body, Record, Records
from gristmill_scheduler.resources.shown import Shown, ShownList
from gristmill_storage.store import shown
from gristmill_storage.workspace import Workspace

#: Deployments that an endpoint may have.
MOST: Final = 20

#: What Azure's service answers.
_NO_ROUTE: Final = (
    "No valid deployments to route to. Please check that the endpoint has at least one deployment with positive weight "
    "values or use a deployment specific header to route. "
    "Set a default deployment or provide a deployment name through cli command."
)


class Deployments:
    """The deployments of all endpoints."""

    def __init__(
        self, workspace: Workspace, *, endpoints: Endpoints, computes: Computes, preparation: Preparation
    ) -> None:
        """Take the workspace, the endpoints, the computes, and what makes a document ready."""
        self._workspace = workspace
        self._endpoints = endpoints
        self._computes = computes
        self._preparation = preparation

    def put(
        self,
        endpoint: str,
        name: str,
        document: Mapping[str, Any],
        *,
        expected: int | None = None,
        by: str = "",
        set_default: bool = False,
        skip_script_validation: bool = False,
    ) -> Shown:
        """Make or replace a deployment; jobs that run keep what they were started with.

        With `skip_script_validation` nobody looks at its scoring script before a job does.

        Raises:
            Conflict: the endpoint has as many as it may have, or it is there and `expected` is 0.
            Forbidden: it names a path of this machine that requests may not name.
            InvalidDeployment: the document cannot be used; it lists every fault.
            Mistake: something in it cannot be used on this server.
            PreconditionFailed: another version than the expected one is there.
            ResourceNotFound: the endpoint, or something that it names, is not there.

        """
        owner = self._endpoints.record(endpoint)
        name = deployment_name(name)
        records = self._records(owner)
        found = records.find(name)
        if found is None:
            _check_room(owner, len(records.names()) + 1)
        prepared = self._preparation.prepare(
            given_back(document, found), endpoint=owner.name, name=name, check_script=not skip_script_validation
        )
        self._computes.check(prepared.deployment.compute, prepared.deployment.instance_count)
        body: Body = {
            "document": prepared.document,
            "deployment": spec.to_json(prepared.deployment),
            LIFE: life_of(owner),
        }
        made = records.write(name, lambda _found: body, expected=expected, by=by)
        if made.created:
            self._refuse_surplus(owner, records, made)
        if set_default:
            self._endpoints.set_default(owner.name, name, by=by)
        return show_deployment(made, endpoint=owner.name)

    def get(self, endpoint: str, name: str) -> Shown:
        """Return a deployment.

        Raises:
            ResourceNotFound: there is no such endpoint or deployment.

        """
        owner = self._endpoints.record(endpoint)
        return show_deployment(self._records(owner).get(name.lower()), endpoint=owner.name)

    def list(self, endpoint: str) -> ShownList:
        """Return an endpoint's deployments, sorted by name.

        Raises:
            ResourceNotFound: there is no such endpoint.

        """
        owner = self._endpoints.record(endpoint)
        return [show_deployment(record, endpoint=owner.name) for record in self._records(owner).all()]

    def delete(self, endpoint: str, name: str, *, expected: int | None = None, by: str = "") -> None:
        """Delete a deployment; its jobs go on.

        Raises:
            Conflict: it is its endpoint's default.
            PreconditionFailed: another version than the expected one is there.
            ResourceNotFound: there is no such endpoint or deployment.

        """
        owner = self._endpoints.record(endpoint)
        records = self._records(owner)
        name = records.get(name.lower()).name
        if default_of(owner) == name:
            raise Conflict(
                f"deployment {name}: it is the default of endpoint {owner.name}; make another one the default first "
                f"(batch-endpoint update --name {owner.name} --set defaults.deployment_name=<another>), or delete the "
                "endpoint"
            )
        records.delete(name, expected=expected)
        self._endpoints.forget_default(owner.name, name, by=by)  # somebody may have chosen it at this moment

    def route(self, endpoint: str, deployment: str | None) -> str:
        """Return which deployment scores a job: the one that was named, else the default, else the only one.

        Raises:
            Mistake: there is none to choose; the sentences are Azure's.
            ResourceNotFound: there is no such endpoint or deployment.

        """
        owner = self._endpoints.record(endpoint)
        names = self._records(owner).names()
        if deployment:
            if deployment.lower() in names:
                return deployment.lower()
            raise ResourceNotFound(f"Deployment name {shown(deployment)} not found for this endpoint")
        if not names:
            raise Mistake("No deployment exists for this endpoint")
        if default_of(owner) in names:
            return default_of(owner)
        if len(names) == 1:
            return names[0]
        raise Mistake(_NO_ROUTE)

    def job_deployment(
        self, endpoint: str, deployment: str, overrides: Sequence[str] = ()
    ) -> tuple[spec.Deployment, int]:
        """Return what a job is scored with, and the deployment's version.

        Args:
            endpoint: The endpoint.
            deployment: Its deployment.
            overrides: What the job changes: `--set` texts beneath settings, resources and environment_variables.

        Raises:
            InvalidDeployment: the overrides cannot be used; it lists every fault.
            Mistake: more instances than the compute has, or an override of what no job may change.
            ResourceNotFound: there is no such endpoint, deployment or compute.

        """
        owner = self._endpoints.record(endpoint)
        record = self._records(owner).get(deployment.lower())
        found = spec.from_json(spec.Deployment, record.body["deployment"])
        if overrides:
            found = changed(found, record.document, overrides, source=f"deployment {record.name}")
        self._computes.check(found.compute, found.instance_count)
        if found.model is not None:
            self._preparation.check_registry(found.model.reference or "")
        return found, record.version

    def _records(self, owner: Record) -> Records:
        life = life_of(owner)
        return Records(
            self._workspace.documents(DEPLOYMENTS, owner.name),
            missing=lambda name: (
                f"deployment {name}: there is none at endpoint {owner.name}; make it first (batch-deployment create)"
            ),
            lives=lambda body: body.get(LIFE) == life,
        )

    def _refuse_surplus(self, owner: Record, records: Records, made: Record) -> None:
        """Take back a deployment that was one too many, because others were made at the same moment."""
        count = len(records.names())
        if count > MOST:
            try:
                records.delete(made.name, expected=made.version)
            except (PreconditionFailed, ResourceNotFound):
                return  # somebody else has it now
            _check_room(owner, count)


def _check_room(owner: Record, count: int) -> None:
    if count > MOST:
        raise Conflict(f"endpoint {owner.name}: it has {MOST} deployments, and no endpoint has more; delete one first")
