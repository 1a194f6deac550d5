"""`client.batch_deployments`: what an endpoint scores with."""

from __future__ import annotations

import builtins
from collections.abc import Iterator
from functools import partial

from gristmill.documents import load_deployment_document
from gristmill.errors import Mistake
from gristmill.service import sources
from gristmill.service.http import Http, place
from gristmill.service.job_operations import Jobs
from gristmill.service.jobs import ServiceJob
from gristmill.service.poller import Poller
from gristmill.service.resource import Resource
from gristmill.service.sources import Source, document_of
from gristmill.service.stored import Stored
from gristmill.service.uploads import Uploads


class BatchDeployments:
    """What is done with deployments."""

    def __init__(self, http: Http, uploads: Uploads, jobs: Jobs) -> None:
        """Take the server, its place for files, and its jobs."""
        self._stored, self._uploads, self._jobs = Stored(http), uploads, jobs

    def get(self, name: str, endpoint_name: str) -> Resource:
        """Return a deployment.

        Raises:
            ResourceNotFound: there is none of that name.

        """
        return self._stored.read(_place(endpoint_name, name))

    def list(self, endpoint_name: str) -> Iterator[Resource]:
        """Go through the deployments of an endpoint."""
        return self._stored.pages(place("batchEndpoints", endpoint_name, "deployments"))

    def begin_create_or_update(
        self, deployment: Source, *, set_default: bool = False, skip_script_validation: bool = False
    ) -> Poller[Resource]:
        """Make or replace a deployment, from a Resource, a mapping, or the path of a YAML file.

        Its code and its model are brought to the server when they are local: each content once. Jobs that run keep
        what they began with.

        Args:
            deployment: the deployment; `endpoint_name` in it says whose.
            set_default: whether the endpoint's jobs go to it from now on.
            skip_script_validation: whether nobody looks whether its scoring script is there, can be parsed, and has
                init() and run(); a job finds out.

        Raises:
            Mistake: it cannot be used.
            PreconditionFailed: somebody else changed it since the Resource was read.

        """
        load = partial(load_deployment_document, check_script=not skip_script_validation)
        document = document_of(deployment, load, self._uploads, sources.DEPLOYMENT)
        if not document.get("endpoint_name"):
            raise Mistake("endpoint_name: is missing; say in the deployment which endpoint it belongs to")
        where = _place(str(document["endpoint_name"]), str(document.get("name") or ""))
        wanted = {"set_default": set_default, "skip_script_validation": skip_script_validation}
        params = {name: "true" for name, given in wanted.items() if given} or None
        return Poller(self._stored.write(where, document, deployment, params=params))

    def begin_delete(self, name: str, endpoint_name: str) -> Poller[None]:
        """Delete a deployment; its jobs go on.

        Raises:
            Conflict: it is the endpoint's default.

        """
        self._stored.remove(_place(endpoint_name, name))
        return Poller(None)

    def list_jobs(self, endpoint_name: str, *, name: str | None = None) -> builtins.list[ServiceJob]:
        """Return the jobs of a deployment (None: of all of the endpoint's), the newest first."""
        where = place("batchEndpoints", endpoint_name, "jobs")
        return list(self._jobs.pages(where, {"deployment": name}, None))


def _place(endpoint: str, name: str) -> str:
    return place("batchEndpoints", endpoint, "deployments", name)
