"""Endpoints: the stable names that callers invoke, and which deployment answers where a caller names none."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from gristmill.documents import load_endpoint
from gristmill.errors import Mistake, PreconditionFailed, ResourceNotFound
from gristmill_scheduler.resources.names import endpoint_name
from gristmill_scheduler.resources.records import Body, Record, Records
from gristmill_scheduler.resources.shown import Shown, ShownList
from gristmill_storage.store import shown
from gristmill_storage.workspace import Workspace

#: The collection that holds an endpoint's deployments, each beneath the endpoint's name.
DEPLOYMENTS: Final = "batch-deployments"

_DEFAULT: Final = "default"
#: Of an endpoint and its deployments: which life of the endpoint, a random word; a name may live again.
LIFE: Final = "life"


class Endpoints:
    """The endpoints of a workspace."""

    def __init__(self, workspace: Workspace, *, address: Callable[[], str] = str) -> None:
        """Take the workspace, and what tells this server's own address ("" where it has none yet)."""
        self._workspace = workspace
        self._address = address
        self._records = Records(workspace.documents("batch-endpoints"), missing=_missing)

    def put(self, name: str, document: Mapping[str, Any], *, expected: int | None = None, by: str = "") -> Shown:
        """Make or replace an endpoint; its default deployment stays as it is where the document does not say.

        Raises:
            Conflict: it is there, and `expected` is 0.
            InvalidDocument: the document cannot be used; it lists every fault.
            PreconditionFailed: another version than the expected one is there.

        """
        name = endpoint_name(name)
        given, chosen = _split(document)
        file = load_endpoint(given, name=name, local=False)
        if file.deployments:
            raise Mistake("deployments: an endpoint is made without them; put each at the endpoint's /deployments/")
        plain = {key: value for key, value in file.endpoint.items() if key != "defaults"}
        default = file.endpoint.get("defaults", {}).get("deployment_name", chosen)

        def change(found: Record | None) -> Body:
            body = found.body if found else {LIFE: uuid.uuid4().hex, _DEFAULT: ""}
            if default:
                self._check_default(name, default, body[LIFE])
            kept = body.get(_DEFAULT, "") if default is None else default
            return {**body, "document": {**plain, "auth_mode": "aad_token"}, _DEFAULT: kept}

        return self._shown(self._records.write(name, change, expected=expected, by=by))

    def get(self, name: str) -> Shown:
        """Return an endpoint.

        Raises:
            ResourceNotFound: there is none of that name.

        """
        return self._shown(self.record(name))

    def list(self) -> ShownList:
        """Return all endpoints, sorted by name."""
        return [self._shown(record) for record in self._records.all()]

    def delete(self, name: str, *, expected: int | None = None, by: str = "") -> None:  # noqa: ARG002 - as elsewhere
        """Delete an endpoint and its deployments; its jobs stay.

        Raises:
            ResourceNotFound: there is none of that name.
            PreconditionFailed: another version than the expected one is there.

        """
        record = self.record(name)
        self._records.delete(record.name, expected=expected)
        # From here on its deployments count no more, even one that is made at this moment: their life has ended.
        deployments = self._workspace.documents(DEPLOYMENTS, record.name)
        for deployment, found in deployments.all():
            if found.body.get(LIFE) == life_of(record):
                with suppress(ResourceNotFound, PreconditionFailed):
                    deployments.delete(deployment, expected=found.version)

    def record(self, name: str) -> Record:
        """Return an endpoint as it is stored.

        Raises:
            ResourceNotFound: there is none of that name.

        """
        return self._records.get(name.lower())

    def set_default(self, name: str, deployment: str, *, by: str = "") -> Shown:
        """Make a deployment the default one.

        Raises:
            ResourceNotFound: there is no such endpoint or deployment.

        """
        record = self.record(name)
        self._check_default(record.name, deployment, life_of(record))
        return self._choose(record.name, lambda _chosen: deployment, by=by)

    def forget_default(self, name: str, deployment: str, *, by: str = "") -> None:
        """Let a deployment that is gone be the default no more; another one that is chosen meanwhile stays."""
        if default_of(self.record(name)) == deployment:
            self._choose(name, lambda chosen: "" if chosen == deployment else chosen, by=by)

    def _choose(self, name: str, choice: Callable[[str], str], *, by: str) -> Shown:
        def change(found: Record | None) -> Body:
            if found is None:
                raise ResourceNotFound(_missing(name))
            return {**found.body, _DEFAULT: choice(default_of(found))}

        return self._shown(self._records.write(name, change, by=by))

    def _check_default(self, name: str, deployment: str, life: str) -> None:
        found = self._workspace.documents(DEPLOYMENTS, name).find(deployment)
        if found is None or found.body.get(LIFE) != life:
            raise ResourceNotFound(
                f"defaults.deployment_name: there is no deployment {deployment} at endpoint {name}; make it first"
            )

    def _shown(self, record: Record) -> Shown:
        default = default_of(record)
        document = {
            "id": f"/batchEndpoints/{record.name}",
            "tags": {},
            "properties": {},
            **record.document,
            "defaults": {"deployment_name": default} if default else {},
            "scoring_uri": f"{self._address()}/batchEndpoints/{record.name}/jobs",
            "openapi_uri": f"{self._address()}/openapi.json",
            "provisioning_state": "Succeeded",
            "creation_context": record.context,
        }
        return Shown(document=document, version=record.version, created=record.created)


def life_of(endpoint: Record) -> str:
    """Return what tells an endpoint from an earlier one of its name; its deployments bear it."""
    return str(endpoint.body.get(LIFE, ""))


def default_of(endpoint: Record) -> str:
    """Return the deployment that was made the default; "": none."""
    return str(endpoint.body.get(_DEFAULT, ""))


def _split(document: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
    """Return a document without a default that is empty, and what that means: "" is none, null (None) says nothing."""
    given = dict(document)
    defaults = given.get("defaults")
    if not isinstance(defaults, Mapping) or defaults.get("deployment_name", "-") not in ("", None):
        return given, None
    rest = {key: value for key, value in defaults.items() if key != "deployment_name"}
    return {**given, "defaults": rest}, defaults["deployment_name"]


def _missing(name: str) -> str:
    return f"endpoint {shown(name)}: there is none on this server; make it first (batch-endpoint create --name ...)"
