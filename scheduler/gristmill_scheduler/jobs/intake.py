"""From an invocation to a job's record: resolved, checked, named, and written down once."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import replace
from typing import Any, Final

from gristmill import spec
from gristmill.addresses import split_output
from gristmill.errors import Conflict, Mistake
from gristmill.names import make_name
from gristmill.spec import InputType
from gristmill_scheduler.jobs.addresses import Addresses
from gristmill_scheduler.jobs.catalog import Catalog
from gristmill_scheduler.jobs.invoke import Asked, Given, read_body
from gristmill_scheduler.jobs.record import JobRecord, wanted
from gristmill_scheduler.jobs.records import Records
from gristmill_scheduler.jobs.shown import CHILD_SUFFIX
from gristmill_storage import job_folder

#: Where a job's output goes that names no place.
_DEFAULT_OUTPUT: Final = "azureml://datastores/workspaceblobstore/paths/azureml/{name}/score"

#: Characters of an endpoint's name in a job's.
_STEM: Final = 60

_MOST_REQUEST_ID: Final = 256


class Intake:
    """Takes invocations."""

    def __init__(
        self,
        records: Records,
        catalog: Catalog,
        addresses: Addresses,
        *,
        tracked: bool = False,
        allow_hosts: tuple[str, ...] = (),
    ) -> None:
        """Take what is needed of the server.

        Args:
            records: the jobs' records.
            catalog: the resources.
            addresses: what keeps secret addresses.
            tracked: whether jobs become MLflow runs.
            allow_hosts: hosts of its network that jobs' web addresses may lead to.

        """
        self._records = records
        self._tracked = tracked
        self._allow_hosts = allow_hosts
        self._addresses = addresses
        self._catalog = catalog

    def take(
        self, endpoint: str, body: Any, *, deployment: str, request_id: str, by: str, traceparent: str = ""
    ) -> tuple[JobRecord, bool]:
        """Return the job of an invocation, and whether it is new: a request that was made before has its job.

        Raises:
            ResourceNotFound: there is no such endpoint.
            Conflict: the job's name is another's.
            Mistake: something of it cannot be done.

        """
        if len(request_id) > _MOST_REQUEST_ID:
            raise Mistake(f"repeatability_request-id: give at most {_MOST_REQUEST_ID} characters")
        endpoint, asked = endpoint.lower(), read_body(body)
        name = _name(endpoint, asked, request_id)
        known = self._records.find(name) if request_id or asked.job_name else None
        if known is not None:
            return _same(known, endpoint, request_id), False
        asked = replace(asked, deployment=(deployment or asked.deployment).lower())
        record = self._record(name, endpoint, asked, request_id=request_id, by=by, traceparent=traceparent)
        try:
            return self._records.create(record), True
        except Conflict:
            # The same request, side by side with this one, may have been first.
            return _same(self._records.get(name), endpoint, request_id), False

    def _record(
        self, name: str, endpoint: str, asked: Asked, *, request_id: str, by: str, traceparent: str
    ) -> JobRecord:
        deployment = self._catalog.deployments.route(endpoint, asked.deployment or None)
        folder, file_name = self._output(name, asked.output)
        overrides = _with_file_name(asked.overrides, file_name)
        made, version = self._catalog.deployments.job_deployment(endpoint, deployment, overrides)
        given, origin = self._input(asked.input)
        job, key = self._addresses.keep(
            spec.Job(
                name=name,
                deployment=made,
                input=given,
                output=spec.Output(folder=folder),
                submitted=time.time(),
                traceparent=traceparent,
                allow_hosts=self._allow_hosts,
                kept_for=_hash([endpoint, deployment, version, by]),
            )
        )
        return JobRecord(
            job=job,
            folder=job_folder.url(folder, name),
            endpoint=endpoint,
            deployment=deployment,
            deployment_version=version,
            by=by,
            request_id=request_id,
            inputs={asked.input.name: {"type": str(job.input.type), "path": origin}},
            input_key=key,
            overrides=overrides,
            experiment_name=asked.experiment_name or endpoint,
            display_name=asked.display_name,
            description=asked.description,
            tags=asked.tags,
            run=wanted(tracked=self._tracked),
        )

    def _input(self, given: Given) -> tuple[spec.Input, str]:
        """Return the input, and its address as it is shown."""
        located = self._catalog.references.uri(given.path, kind="input")
        kind = given.type or _own_type(given, located.type) or InputType.URI_FOLDER
        return spec.Input(uri=located.url, type=kind), located.origin

    def _output(self, name: str, given: Given | None) -> tuple[str, str]:
        """Return the output's folder and the file's name, "" where only a folder is given."""
        if given is None:
            folder = self._catalog.references.uri(_DEFAULT_OUTPUT.format(name=name), kind="output").url
            return folder.rstrip("/"), ""
        return split_output(self._catalog.references.uri(given.path, kind="output").url)


def _name(endpoint: str, asked: Asked, request_id: str) -> str:
    """Return the job's name; of a request that names itself, always the same one."""
    if asked.job_name:
        if asked.job_name.endswith(CHILD_SUFFIX):
            raise Mistake(f"job name {asked.job_name}: a name does not end in {CHILD_SUFFIX}: that is a job's child")
        return asked.job_name
    if not request_id:
        return make_name(endpoint[:_STEM])
    return f"{endpoint[:_STEM]}-{_hash([endpoint, request_id])}"


def _hash(words: list[str | int]) -> str:
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()[:24]


def _same(known: JobRecord, endpoint: str, request_id: str) -> JobRecord:
    """Return a job that is there if it is this request's.

    Raises:
        Conflict: it is another's.

    """
    if not request_id or (known.request_id, known.endpoint) != (request_id, endpoint):
        raise Conflict(f"job name: {known.name} is taken by another job; give another name")
    return known


def _own_type(given: Given, kind: str | None) -> InputType | None:
    """Return the type that a data asset has.

    Raises:
        Mistake: it can be no input.

    """
    if kind is None:
        return None
    try:
        return InputType(kind)
    except ValueError:
        raise Mistake(f"{given.name}: {given.path} is of type {kind}; give data of uri_folder or uri_file") from None


def _with_file_name(overrides: tuple[str, ...], file_name: str) -> tuple[str, ...]:
    """Return the overrides with the file that the output's address ends in.

    Raises:
        Mistake: they say another one.

    """
    if not file_name:
        return overrides
    text = f"settings.output_file_name={json.dumps(file_name)}"
    said = [each for each in overrides if each.startswith("settings.output_file_name=") and each != text]
    if said:
        raise Mistake(f"output_file_name: the output's path names {file_name}, and {said[0]} is given; give one")
    return (*(each for each in overrides if each != text), text)
