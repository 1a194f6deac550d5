"""Jobs, as the routes use them: everything that can be asked of one, in one place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, BinaryIO, Final, Literal, TypeAlias

from gristmill import asking, tracing
from gristmill.errors import Conflict, Corrupt, Mistake, OtherVersion
from gristmill.log_context import ids
from gristmill.settings import ProcessSettings
from gristmill.spans import Kind
from gristmill.states import JobStatus
from gristmill_scheduler.exclusion import Exclusion
from gristmill_scheduler.jobs.addresses import Addresses
from gristmill_scheduler.jobs.beginning import Beginning
from gristmill_scheduler.jobs.board import Board
from gristmill_scheduler.jobs.catalog import Catalog
from gristmill_scheduler.jobs.clearing import Clearing
from gristmill_scheduler.jobs.control import Control
from gristmill_scheduler.jobs.dispatcher import Dispatcher, lead_name
from gristmill_scheduler.jobs.intake import Intake
from gristmill_scheduler.jobs.looking import Looking, NodesSeen
from gristmill_scheduler.jobs.observed import Observed
from gristmill_scheduler.jobs.outputs import Outputs
from gristmill_scheduler.jobs.record import JobRecord, State
from gristmill_scheduler.jobs.records import Records
from gristmill_scheduler.jobs.rows import Row
from gristmill_scheduler.jobs.shown import at, child_of
from gristmill_scheduler.jobs.stream import Event, Streams
from gristmill_scheduler.leading import Leading
from gristmill_scheduler.tracking.tracking import Writes, make_tracking
from gristmill_storage.files import open_store
from gristmill_storage.ledger import Ledger
from gristmill_storage.queue import Queue
from gristmill_storage.workspace import Workspace

log = logging.getLogger("gristmill.jobs")

#: Seconds that a request waits for a Redis server that is away.
PATIENCE_SECONDS: Final = 2.0

#: Which jobs a list shows.
Archived = Literal["exclude", "only", "include"]

#: Some of a list's documents; a class with a method `list` cannot name the type.
Page: TypeAlias = list[dict[str, Any]]


class Jobs:
    """All jobs of a workspace; safe to share between threads."""

    def __init__(
        self,
        workspace: Workspace,
        catalog: Catalog,
        settings: ProcessSettings,
        *,
        ledger: Ledger | None = None,
        asked: Ledger | None = None,
        queue: Queue | None = None,
        runs: Writes | None = None,
        unserved: Callable[[str], None] | None = None,
    ) -> None:
        """Take the workspace, the resources, and the process's settings; nothing is begun before `start`.

        Args:
            workspace: where the records are.
            catalog: the resources.
            settings: of this process.
            ledger: the ledger that jobs are led by; default: that of the settings.
            asked: the one that is asked while somebody waits; default: the same server, with less patience.
            queue: where instances are asked for; default: that of the settings.
            runs: what writes jobs' MLflow runs; default: that of the settings, if they want any.
            unserved: is told of a compute that jobs wait for and no node serves.

        """
        url = settings.redis_url
        ledger = ledger or Ledger(url)
        asked = asked or Ledger(url, patience=PATIENCE_SECONDS)
        self._records = Records(workspace.documents("jobs"))
        self._board = Board(self._records, changed=lambda: self._dispatcher.notice())  # noqa: PLW0108 - made below
        self._tracking = make_tracking(self._records, settings, writer=runs, sweeps=lambda: self._dispatcher.dispatches)
        leading = Leading(settings, ledger=ledger, queue=queue or Queue(url), tell=self._tell)
        nodes = NodesSeen(asked)
        addresses = Addresses(workspace.documents("job-inputs"))
        exclusion = Exclusion(workspace.url)
        beginning = Beginning(
            self._records, addresses, leading, asked, environment=settings.environment, exclusion=exclusion
        )
        self._dispatcher = Dispatcher(
            self._records,
            self._board,
            leading,
            beginning,
            ledger=asked,
            name=lead_name(workspace.url),
            nodes=nodes,
            slice_seconds=settings.slice_seconds,
            unserved=unserved,
        )
        self._clearing = Clearing(
            workspace,
            self._records,
            addresses,
            catalog.naming,
            days=settings.keep_inputs_days,
            leads=lambda: self._dispatcher.dispatches,
        )
        tracked = self._tracking is not None
        self._deployments = catalog.deployments
        self._intake = Intake(self._records, catalog, addresses, tracked=tracked, allow_hosts=settings.allow_hosts)
        self._looking = Looking(
            self._records,
            self._board,
            asked,
            nodes=nodes,
            turn=self._dispatcher.turn,
            trouble=self._dispatcher.trouble,
        )
        self._control = Control(self._records, leading, self._dispatcher, tracked=tracked)
        self._streams = Streams()
        #: What the exporter of metrics sees.
        self.observed = Observed(self._records, self._board, leading, self._dispatcher)

    def start(self) -> None:
        """Learn of all jobs there are, and begin to lead."""
        self._records.refresh()
        self._dispatcher.start()
        self._clearing.start()
        if self._tracking is not None:
            self._tracking.start()

    def stop(self) -> None:
        """Leave the jobs led here to other servers, or to this one's next life."""
        self._clearing.stop()
        self._dispatcher.stop()
        if self._tracking is not None:
            self._tracking.stop()

    def invoke(
        self,
        endpoint: str,
        body: Any,
        *,
        deployment: str = "",
        request_id: str = "",
        by: str = "",
        traceparent: str = "",
    ) -> dict[str, Any]:
        """Return the document of the job that an invocation makes, or made before under the same request id.

        `traceparent` is the caller's span, in whose trace the job is then; "": none.

        Raises:
            ResourceNotFound: there is no such endpoint.
            Conflict: the job's name is another's.
            Mistake: something of it cannot be done.

        """
        about = {"gristmill.endpoint": endpoint.lower()}
        with tracing.span("gristmill.submit", kind=Kind.SERVER, parent=traceparent, attributes=about) as span:
            record, _ = self._intake.take(
                endpoint, body, deployment=deployment, request_id=request_id, by=by, traceparent=span.traceparent
            )
            span.put({"gristmill.job": record.name, "gristmill.deployment": record.deployment})
        self._dispatcher.notice()
        return self._looking.document(record)

    def get(self, name: str) -> dict[str, Any]:
        """Return a job's document, or that of its child.

        Raises:
            JobNotFound: there is no such job; so all methods that take a name.

        """
        record, child = self._looking.record(name)
        return self._looking.document(record, child=child)

    def endpoint_of(self, name: str) -> str:
        """Return the endpoint that a job belongs to; of one that is known, without a look at storage."""
        row = self._records.rows.find(name)
        return row.endpoint if row is not None else self._looking.record(name)[0].endpoint

    def list(
        self,
        *,
        endpoint: str = "",
        deployment: str = "",
        status: str = "",
        archived: Archived = "exclude",
        limit: int,
        after: str = "",
        sees: Callable[[str], bool] = lambda _endpoint: True,
    ) -> tuple[Page, str | None]:
        """Return documents of jobs, the newest first, and the last one's name if there are more.

        Args:
            endpoint: only its jobs; "": all
            deployment: only its jobs; "": all
            status: only jobs in it, in any case; "": in any
            archived: whether archived ones are among them
            limit: how many at most
            after: name of the last job of the page before
            sees: tells whether jobs of an endpoint are shown

        """
        before = self._row(after) if after else None
        wanted = _status(status)
        found: Page = []
        for row in self._records.rows.newest(before):
            if not (_fits(row, endpoint.lower(), deployment.lower(), archived) and sees(row.endpoint)):
                continue
            if row.state is State.ENDED and wanted and row.status != wanted:
                continue
            if len(found) == limit:
                return found, found[-1]["name"]
            try:
                document = self._looking.document(self._records.get(row.name))
            except (Corrupt, OtherVersion) as error:
                message = "job %s is in no list: its record cannot be read: %s"
                log.warning(message, row.name, error, extra=ids(job=row.name))
                continue
            if not wanted or document["status"] == wanted:
                found.append(document)
        return found, None

    def check_endpoint(self, endpoint: str) -> None:
        """Look whether there is such an endpoint, or was when it made a job.

        Raises:
            ResourceNotFound: there is not.

        """
        if not any(row.endpoint == endpoint.lower() for row in self._records.rows.newest()):
            self._deployments.list(endpoint)

    def children(self, parent: str) -> Page:
        """Return the documents of a job's children: one."""
        record, _ = self._looking.record(parent)
        return [child_of(self._looking.document(record))]

    def counts(self, sees: Callable[[str], bool] = lambda _endpoint: True) -> dict[str, int]:
        """Return how many jobs have each status."""
        counted: dict[str, int] = {}
        for row in self._records.rows.newest():
            if sees(row.endpoint):
                status = row.status or self._status_of(row)
                counted[status] = counted.get(status, 0) + 1
        return counted

    def cancel(self, name: str, *, keep_partial: bool = False, by: str = "") -> dict[str, Any]:
        """End a job: one that waits at once, another soon."""
        return self._changed(name, lambda own: self._control.cancel(own, keep_partial=keep_partial, by=by))

    def pause(self, name: str, *, by: str = "") -> dict[str, Any]:
        """Let a job begin nothing new; its status stays, and its detail says that it is paused."""
        return self._changed(name, lambda own: self._control.pause(own, paused=True, by=by))

    def unpause(self, name: str, *, by: str = "") -> dict[str, Any]:
        """Let a paused job go on."""
        return self._changed(name, lambda own: self._control.pause(own, paused=False, by=by))

    def resume(self, name: str, *, by: str = "") -> dict[str, Any]:
        """Let a job go on that failed or was cancelled."""
        return self._changed(name, lambda own: self._control.resume(own, by=by))

    def retry_failed(self, name: str, *, by: str = "") -> dict[str, Any]:
        """Return the document of the job that scores a completed one's failed items again."""
        return self._changed(name, lambda own: self._control.retry_failed(own, by=by))

    def archive(self, name: str, *, archived: bool, by: str = "") -> dict[str, Any]:
        """Hide a job from lists, or show it again."""
        return self._changed(name, lambda own: self._control.archive(own, archived=archived, by=by))

    def verify(self, name: str) -> dict[str, Any]:
        """Return what a job's storage shows: "ok", what was "checked", and the "faults"; takes its time.

        Raises:
            Conflict: it has not begun.

        """
        record, _ = self._looking.record(name)
        if record.state is State.QUEUED:
            raise Conflict(f"job {record.name} has not begun; there is nothing to verify")
        return asking.verify(record.folder)

    def files(self, name: str, output: str, *, after: str = "", limit: int = 1000) -> tuple[Page, str | None]:
        """Return path and size of an output's files, sorted by path, and the last path if there are more."""
        return self._outputs(name).files(output, after=after, limit=limit)

    def open_file(self, name: str, output: str, path: str) -> tuple[BinaryIO, int]:
        """Return a file of an output, and its size in bytes."""
        return self._outputs(name).open(output, path)

    def errors(self, name: str, *, after: int = 0, limit: int = 50) -> tuple[Page, int | None]:
        """Return rows of a job's errors.jsonl, and the place of the next ones; None after the last."""
        return self._outputs(name).errors(after=after, limit=limit)

    async def stream(self, name: str, *, url: str = "", place: str = "") -> AsyncGenerator[Event, None]:
        """Yield what happens to a job (see `jobs/stream.py`), at last `end` with its document.

        Args:
            name: the job's name, or its child's
            url: the server's own, for the document
            place: that of the last `log` that this caller was told; "": none

        """
        record, child = await asyncio.to_thread(self._looking.record, name)

        def look() -> dict[str, Any]:
            return self._looking.document(self._records.get(record.name))

        events = self._streams.follow(record.name, open_store(record.folder), look, place=place)
        async with aclosing(events):
            async for event, document in events:
                shown = child_of(document) if child and event == "end" else document
                yield event, at(shown, url) if event == "end" else shown

    def _tell(self, event: str, document: dict[str, Any]) -> None:
        """Take an event of a coordinator: what the board writes down is what a job's MLflow run is made of."""
        self._board.tell(event, document)
        if self._tracking is not None:
            self._tracking.tell(event, document)

    def _outputs(self, name: str) -> Outputs:
        record, _ = self._looking.record(name)
        return Outputs(record)

    def _changed(self, name: str, act: Callable[[str], JobRecord]) -> dict[str, Any]:
        record, child = self._looking.record(name)
        changed = act(record.name)
        return self._looking.document(changed, child=child and changed.name == record.name)

    def _row(self, name: str) -> Row:
        row = self._records.rows.find(name)
        if row is None:
            raise Mistake(f"after: there is no job {name!r}; begin anew without it")
        return row

    def _status_of(self, row: Row) -> str:
        live = self._board.find(row.name)
        if live is not None:
            return str(live.status)
        return str(JobStatus.QUEUED if row.state is State.QUEUED else JobStatus.RUNNING)


def _fits(row: Row, endpoint: str, deployment: str, archived: Archived) -> bool:
    if archived != "include" and row.archived != (archived == "only"):
        return False
    return (not endpoint or row.endpoint == endpoint) and (not deployment or row.deployment == deployment)


def _status(text: str) -> str:
    """Return a status as it is written.

    Raises:
        Mistake: there is none of that name.

    """
    known = {str(status).lower(): str(status) for status in JobStatus}
    if text and text.lower() not in known:
        raise Mistake(f"status: {text!r} is none; one of {', '.join(known.values())}")
    return known.get(text.lower(), "")
