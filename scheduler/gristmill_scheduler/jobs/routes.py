"""Invocations, and /jobs: what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Header, Path, Query, Request
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from gristmill import tracing
from gristmill.errors import JobNotFound, Mistake
from gristmill_scheduler.http.auth import INVOKER, READER, Caller
from gristmill_scheduler.http.bodies import JsonBody, body_schema
from gristmill_scheduler.http.names import Endpoint
from gristmill_scheduler.http.openapi import Document, Documents
from gristmill_scheduler.http.paging import PageAsked
from gristmill_scheduler.http.principal import Principal
from gristmill_scheduler.jobs.log_tail import MOST_PLACE
from gristmill_scheduler.jobs.sending import AsciiJson, Asked, send_events, send_file
from gristmill_scheduler.jobs.service import Archived, Jobs
from gristmill_scheduler.jobs.shown import at

_INVOCATION = body_schema(
    "What is to be scored: {input: {type, path}, output_path, overrides, job_name, experiment_name, tags}, "
    "or a body that Azure ML's batch endpoints take."
)
_CANCELLATION = body_schema("{keep_partial: whether what is finished is published}")

Job = Annotated[str, Path(description="Name of a job, or of its child.", max_length=300)]
Output = Annotated[str, Path(description="score (the results) or default (the logs)", max_length=300)]
Deployed = Annotated[
    str,
    Header(alias="azureml-model-deployment", description="The deployment; default: the endpoint's.", max_length=300),
]
RequestId = Annotated[
    str,
    Header(
        alias="repeatability_request-id",
        description="Name of this request: repeated, it makes no second job.",
        max_length=256,
    ),
]
LastEvent = Annotated[
    str,
    Header(
        alias="last-event-id", description="The id of the last event heard: logs go on there.", max_length=MOST_PLACE
    ),
]


class Found(BaseModel):
    """What a verification found."""

    ok: bool
    checked: dict[str, Any]
    faults: list[str]


def jobs_router(jobs: Jobs) -> APIRouter:
    """Return the routes of jobs."""
    router = APIRouter(tags=["jobs"])
    for add in (_add_invocation, _add_lists, _add_looks, _add_actions, _add_outputs):
        add(router, jobs)
    return router


def _add_invocation(router: APIRouter, jobs: Jobs) -> None:
    @router.post(
        "/batchEndpoints/{endpoint}/jobs",
        operation_id="batch_endpoint_invoke",
        dependencies=[INVOKER],
        status_code=HTTPStatus.CREATED,
        response_model=Document,
        openapi_extra=_INVOCATION,
    )
    def invoke(
        endpoint: Endpoint,
        body: JsonBody,
        request: Request,
        caller: Caller,
        *,
        deployment: Deployed = "",
        request_id: RequestId = "",
    ) -> Response:
        """Score something: the scoring URI of an endpoint."""
        made = jobs.invoke(
            endpoint,
            body,
            deployment=deployment,
            request_id=request_id,
            by=caller.name,
            traceparent=tracing.checked(request.headers.get("traceparent", "")),
        )
        return _show(request, made, HTTPStatus.CREATED, {"Location": f"{request.app.state.address()}{made['id']}"})


def _add_lists(router: APIRouter, jobs: Jobs) -> None:
    @router.get(
        "/batchEndpoints/{endpoint}/jobs",
        operation_id="batch_endpoint_list_jobs",
        dependencies=[READER],
        response_model=Documents,
    )
    def list_endpoint_jobs(
        endpoint: Endpoint,
        page: PageAsked,
        request: Request,
        deployment: Annotated[str, Query(description="Only its jobs.")] = "",
    ) -> Response:
        """List an endpoint's jobs, the newest first."""
        found, last = jobs.list(endpoint=endpoint, deployment=deployment, limit=page.limit, after=page.after)
        if not found:
            jobs.check_endpoint(endpoint)
        return AsciiJson(page.answer(_at(request, found), last))

    @router.get("/jobs", operation_id="job_list", dependencies=[READER], response_model=Documents)
    def list_jobs(
        page: PageAsked,
        request: Request,
        caller: Caller,
        *,
        parent: Annotated[str, Query(description="Its children instead.")] = "",
        endpoint: Annotated[str, Query(description="Only its jobs.")] = "",
        deployment: Annotated[str, Query(description="Only its jobs.")] = "",
        status: Annotated[str, Query(description="Only jobs in this status.")] = "",
        archived: Annotated[Archived, Query(description="Which of the archived ones.")] = "exclude",
    ) -> Response:
        """List the jobs that the caller sees, the newest first."""
        if parent:
            _check(jobs, parent, caller)
            return AsciiJson(page.answer(_at(request, jobs.children(parent)), None))
        found, last = jobs.list(
            endpoint=endpoint,
            deployment=deployment,
            status=status,
            archived=archived,
            limit=page.limit,
            after=page.after,
            sees=caller.sees,
        )
        return AsciiJson(page.answer(_at(request, found), last))


def _add_looks(router: APIRouter, jobs: Jobs) -> None:
    @router.get(
        "/batchEndpoints/{endpoint}/jobs/{job}",
        operation_id="batch_endpoint_show_job",
        dependencies=[READER],
        response_model=Document,
    )
    def show_endpoint_job(endpoint: Endpoint, job: Job, request: Request) -> Response:
        """Show a job of an endpoint."""
        if jobs.endpoint_of(job) != endpoint.lower():
            raise JobNotFound(f"job {job}: endpoint {endpoint} has none of that name")
        return _show(request, jobs.get(job))

    @router.get("/jobs/{job}", operation_id="job_show", dependencies=[READER], response_model=Document)
    def show_job(job: Job, request: Request, caller: Caller) -> Response:
        """Show where a job stands."""
        _check(jobs, job, caller)
        return _show(request, jobs.get(job))

    @router.get(
        "/jobs/{job}/stream",
        operation_id="job_stream",
        dependencies=[READER],
        response_class=Response,
        responses={200: {"content": {"text/event-stream": {}}, "description": "Events: log, status, progress, end"}},
    )
    async def stream_job(job: Job, request: Request, caller: Caller, last: LastEvent = "") -> Response:
        """Follow a job: its log lines, status and progress as they happen, and its document in the end."""
        await run_in_threadpool(_check, jobs, job, caller)
        return send_events(jobs.stream(job, url=request.app.state.address(), place=last))


def _add_actions(router: APIRouter, jobs: Jobs) -> None:
    @router.post(
        "/jobs/{job}/cancel",
        operation_id="job_cancel",
        dependencies=[INVOKER],
        response_model=Document,
        openapi_extra=_CANCELLATION,
    )
    def cancel_job(job: Job, body: JsonBody, request: Request, caller: Caller) -> Response:
        """End a job; with keep_partial what is finished is published."""
        _check(jobs, job, caller)
        keep = body.get("keep_partial", False)
        if not isinstance(keep, bool):
            raise Mistake(f"keep_partial: {keep!r} is neither true nor false")
        return _show(request, jobs.cancel(job, keep_partial=keep, by=caller.name))

    for name, text, act in _simple_actions(jobs):
        _add_action(router, jobs, name, text, act)

    @router.post("/jobs/{job}/verify", operation_id="job_verify", dependencies=[INVOKER], response_model=Found)
    def verify_job(job: Job, caller: Caller) -> Response:
        """Check from storage that every item is in the output once, or in errors.jsonl; may take long."""
        _check(jobs, job, caller)
        return AsciiJson(jobs.verify(job))


#: What is done to a job: by its name, for somebody.
_Act = Callable[[str, str], dict[str, Any]]


def _simple_actions(jobs: Jobs) -> list[tuple[str, str, _Act]]:
    return [
        ("pause", "Let a job begin nothing new.", lambda job, by: jobs.pause(job, by=by)),
        ("unpause", "Let a paused job go on.", lambda job, by: jobs.unpause(job, by=by)),
        ("resume", "Go on with a job that failed or was cancelled.", lambda job, by: jobs.resume(job, by=by)),
        (
            "retry-failed",
            "Score the failed items of a completed job again, into the same output; answers with the job that does.",
            lambda job, by: jobs.retry_failed(job, by=by),
        ),
        ("archive", "Hide a job from lists.", lambda job, by: jobs.archive(job, archived=True, by=by)),
        ("restore", "Show an archived job in lists again.", lambda job, by: jobs.archive(job, archived=False, by=by)),
    ]


def _add_action(router: APIRouter, jobs: Jobs, name: str, text: str, act: _Act) -> None:
    @router.post(
        f"/jobs/{{job}}/{name}",
        operation_id=f"job_{name.replace('-', '_')}",
        dependencies=[INVOKER],
        response_model=Document,
        description=text,
    )
    def act_on_job(job: Job, request: Request, caller: Caller) -> Response:
        _check(jobs, job, caller)
        return _show(request, act(job, caller.name))


def _add_outputs(router: APIRouter, jobs: Jobs) -> None:
    @router.get("/jobs/{job}/files", operation_id="job_list_files", dependencies=[READER], response_model=Documents)
    def list_files(
        job: Job,
        page: PageAsked,
        caller: Caller,
        output: Annotated[Literal["score", "default"], Query(description="The results, or the logs.")] = "score",
    ) -> Response:
        """List the files that a job left, by path."""
        _check(jobs, job, caller)
        return AsciiJson(page.answer(*jobs.files(job, output, after=page.after, limit=page.limit)))

    @router.get(
        "/jobs/{job}/files/{output}/{path:path}",
        operation_id="job_download_file",
        dependencies=[READER],
        response_class=Response,
        responses={
            200: {"content": {"application/octet-stream": {}}, "description": "The file"},
            206: {"content": {"application/octet-stream": {}}, "description": "The part that Range asks for"},
            304: {"description": "The file is the one that If-None-Match names"},
            416: {"description": "The file has no such bytes"},
        },
    )
    def download_file(
        job: Job,
        output: Output,
        path: Annotated[str, Path(description="As it was listed.", max_length=4096)],
        caller: Caller,
        *,
        part: Annotated[str, Header(alias="range", description="One range of bytes.")] = "",
        if_range: Annotated[str, Header(description="The ETag that the range is to be of.")] = "",
        if_none_match: Annotated[str, Header(description="ETags of what the caller has.")] = "",
    ) -> Response:
        """Download a file that a job left."""
        _check(jobs, job, caller)
        asked = Asked(part=part, part_of=if_range.strip(), none_match=if_none_match)
        return send_file(*jobs.open_file(job, output, path), asked)

    @router.get("/jobs/{job}/errors", operation_id="job_list_errors", dependencies=[READER], response_model=Documents)
    def list_errors(job: Job, page: PageAsked, caller: Caller) -> Response:
        """List the items that failed, and why."""
        _check(jobs, job, caller)
        if page.after and not (page.after.isascii() and page.after.isdigit()):
            raise Mistake(f"after: {page.after!r} is none that an earlier page gave")
        rows, last = jobs.errors(job, after=int(page.after or 0), limit=page.limit)
        return AsciiJson(page.answer(rows, None if last is None else str(last)))


def _check(jobs: Jobs, job: str, caller: Principal) -> None:
    """Keep callers to the jobs of their endpoints; what others have is told to nobody.

    Raises:
        JobNotFound: there is no such job, or none that the caller sees.

    """
    if not caller.sees(jobs.endpoint_of(job)):
        raise JobNotFound(f"job {job}: there is none of that name")


def _at(request: Request, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [at(document, request.app.state.address()) for document in documents]


def _show(
    request: Request,
    document: dict[str, Any],
    status: HTTPStatus = HTTPStatus.OK,
    headers: Mapping[str, str] | None = None,
) -> Response:
    return AsciiJson(at(document, request.app.state.address()), status_code=status, headers=headers)
