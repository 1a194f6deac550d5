"""`client.batch_endpoints`: the stable names that jobs are asked for under."""

from __future__ import annotations

import builtins
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gristmill.documents import load_endpoint
from gristmill.errors import Mistake
from gristmill.service.http import Http, place
from gristmill.service.invocation import invocation
from gristmill.service.job_operations import Jobs
from gristmill.service.jobs import ServiceJob
from gristmill.service.poller import Poller
from gristmill.service.resource import Resource
from gristmill.service.sources import Source, document_of
from gristmill.service.stored import Stored
from gristmill.service.uploads import Uploads
from gristmill.service.values import InputLike, OutputLike


class BatchEndpoints:
    """What is done with endpoints."""

    def __init__(self, http: Http, uploads: Uploads, jobs: Jobs) -> None:
        """Take the server, its place for files, and its jobs."""
        self._http, self._uploads, self._jobs = http, uploads, jobs
        self._stored = Stored(http)

    def get(self, name: str) -> Resource:
        """Return an endpoint.

        Raises:
            ResourceNotFound: there is none of that name.

        """
        return self._stored.read(place("batchEndpoints", name))

    def list(self) -> Iterator[Resource]:
        """Go through all endpoints."""
        return self._stored.pages(place("batchEndpoints"))

    def begin_create_or_update(self, endpoint: Source) -> Poller[Resource]:
        """Make or replace an endpoint, from a Resource, a mapping, or the path of a YAML file.

        Raises:
            Mistake: it cannot be used.
            PreconditionFailed: somebody else changed it since the Resource was read.

        """
        document = document_of(endpoint, _load, self._uploads)
        return Poller(self._stored.write(place("batchEndpoints", str(document["name"])), document, endpoint))

    def begin_delete(self, name: str) -> Poller[None]:
        """Delete an endpoint and its deployments; what its jobs left stays.

        Raises:
            Conflict: a job of it runs.

        """
        self._stored.remove(place("batchEndpoints", name))
        return Poller(None)

    def invoke(
        self,
        endpoint_name: str,
        *,
        deployment_name: str | None = None,
        input: InputLike | None = None,  # noqa: A002 - MLClient's word
        inputs: Mapping[str, InputLike] | None = None,
        outputs: Mapping[str, OutputLike] | None = None,
        params_override: Sequence[Mapping[str, Any]] | None = None,
        job_name: str | None = None,
        experiment_name: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> ServiceJob:
        """Ask for a job that scores an input; return it at once, while it runs on the server.

        Args:
            endpoint_name: the endpoint.
            deployment_name: which of its deployments; None: its default.
            input: what is scored: an `Input`, or a local path, a URL, `azureml:name:version` alone.
            inputs: the same under a name of your own; give one of the two.
            outputs: where the results go, under a name of your own; None: the default datastore.
            params_override: settings of this job: [{"mini_batch_size": 5}, {"compute.instance_count": 2}].
            job_name: the job's name; None: a new one.
            experiment_name: what groups jobs; None: the endpoint's name.
            tags: words to find the job by.

        Raises:
            InputNotFound: there is nothing at a local path.
            Mistake: the server cannot start such a job; nothing was started.

        """
        body = invocation(
            self._uploads,
            inputs=_inputs(input, inputs),
            outputs=outputs or {},
            overrides=params_override or (),
            name=job_name,
            experiment_name=experiment_name,
            tags=tags,
        )
        # One id for all attempts: the server makes one job of them.
        headers = {"repeatability_request-id": str(uuid.uuid4())}
        if deployment_name:
            headers["azureml-model-deployment"] = deployment_name
        where = place("batchEndpoints", endpoint_name, "jobs")
        return self._jobs.made(self._http.send("POST", where, document=body, headers=headers, again=True).document)

    def list_jobs(self, endpoint_name: str) -> builtins.list[ServiceJob]:
        """Return the jobs of an endpoint, the newest first."""
        return list(self._jobs.pages(place("batchEndpoints", endpoint_name, "jobs"), {}, None))


def _inputs(one: InputLike | None, named: Mapping[str, InputLike] | None) -> Mapping[str, InputLike]:
    if one is not None and named:
        raise Mistake("input and inputs: give one of them")
    return named or ({} if one is None else {"input": one})


def _load(source: Any) -> dict[str, Any]:
    file = load_endpoint(source)
    if file.deployments:
        raise Mistake(f"{file.endpoint['name']}: its deployments stand in the same file: gristmill endpoint create -f")
    return file.endpoint
