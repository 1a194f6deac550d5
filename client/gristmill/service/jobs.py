"""A job on a server as its user holds it: status, results, and the way to end it."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from gristmill import results, spec
from gristmill.addresses import local_path
from gristmill.cli.display import open_display
from gristmill.errors import GristmillError, JobCanceled, JobFailed, NotFound
from gristmill.local.events import Progress
from gristmill.service import download
from gristmill.service.events import Event
from gristmill.service.following import Following
from gristmill.service.http import Http, place
from gristmill.service.notebook import job_html
from gristmill.service.resource import Resource
from gristmill.service.uploads import Uploads
from gristmill.states import ENDED, JobStatus

if TYPE_CHECKING:
    import pandas as pd


class ServiceJob(Resource):
    """A job on a server; the keys of its document are attributes, as last heard: `job.status`, `job.outputs`.

    >>> job = client.batch_endpoints.invoke("digits", input="images/")   # doctest: +SKIP
    >>> job.wait(progress=True).to_pandas()                              # doctest: +SKIP
    """

    __slots__ = ("_http", "_uploads")

    def __init__(self, document: Mapping[str, Any], *, http: Http, uploads: Uploads) -> None:
        """Take the job's document and the server that shows it."""
        super().__init__(document)
        object.__setattr__(self, "_http", http)
        object.__setattr__(self, "_uploads", uploads)

    @property
    def ended(self) -> bool:
        """Whether it had ended when it was last heard of; `refresh` asks."""
        return self["status"] in ENDED

    @property
    def summary(self) -> dict[str, Any]:
        """The summary's document.

        Raises:
            NotFound: the job has left none, or none yet.

        """
        if not self._plain().get("summary") and not self.ended:
            self.refresh()
        found = self._plain().get("summary")
        if not found:
            raise NotFound(f"job {self['name']}: it is {self['status']} and has no summary")
        return dict(found)

    def refresh(self) -> Self:
        """Ask the server where the job stands; return the job."""
        return self._take(self._server.get(self._path()).document)

    def wait(self, timeout: float | None = None, *, progress: bool = False) -> Self:
        """Wait for the job's end and return the job.

        Args:
            timeout: seconds to wait at most; None: as long as it takes. The job goes on after a timeout.
            progress: whether to show the progress on stderr.

        Raises:
            TimeoutError: the job has not ended by then.
            JobFailed: it failed; `InitFailed`, `ThresholdExceeded` and `NothingSucceeded` say how.
            JobCanceled: it was cancelled.
            ServerFailed: the server is gone for long; the job may go on.

        """
        if not self.ended:
            self._follow(timeout, progress=progress)
        if not self.ended:
            raise TimeoutError(f"job {self['name']}: not ended after {timeout:g} s")
        self._check()
        return self

    def stream(self, timeout: float | None = None) -> Iterator[Event]:
        """Go through what happens: events named log, status, progress and, at last, end; "" is a sign of life.

        Raises:
            ServerFailed: the server is gone for long.

        """
        deadline = None if timeout is None else time.monotonic() + timeout
        for event in Following(self._server, self["name"], deadline=deadline).events():
            if event.name == "end":
                self._take(event.data)
            elif event.name == "status":
                self._plain().update(event.data)
            elif event.name == "progress":
                self._plain()["progress"] = event.data
            yield event

    def cancel(self, *, keep_partial: bool = False) -> Self:
        """Ask for the job's end. What was scored is kept, and `resume` goes on with it.

        Args:
            keep_partial: whether what is finished is published, in order.

        """
        return self._ask("cancel", {"keep_partial": keep_partial})

    def pause(self) -> Self:
        """Ask that no mini-batch is begun any more; those that run are finished."""
        return self._ask("pause")

    def unpause(self) -> Self:
        """Let a paused job go on."""
        return self._ask("unpause")

    def errors(self) -> list[dict[str, Any]]:
        """Return what became of each failed item: file, mini_batch, attempts, category, message ..."""
        return list(self._server.pages(f"{self._path()}/errors", params={"limit": 1000}))

    def to_pandas(self) -> pd.DataFrame:
        """Return the output as a DataFrame; waits for the job's end. Without a header, columns are numbered from 0.

        Raises:
            MissingExtra: pandas (for Parquet: pyarrow) is not installed.
            Mistake: the job writes no output file.
            GristmillError: as `wait`.

        """
        self.wait()
        settings = self._settings()
        address = str(self["outputs"]["score"]["path"])
        path = local_path(address)
        if settings.output_action is spec.OutputAction.SUMMARY_ONLY:
            return results.read_table(address, settings)
        if path is not None and self._files.same_machine() and os.access(path, os.R_OK):
            return results.read_table(str(path), settings)
        with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
            name = address.rstrip("/").rpartition("/")[2]
            copy = Path(folder, "output" + Path(name).suffix)
            download.fetch(self._server, self["name"], "score", name, copy)
            return results.read_table(str(copy), settings)

    def download(
        self,
        download_path: str | Path = ".",
        *,
        output_name: str | None = None,
        all: bool = False,  # noqa: A002 - MLClient's word
    ) -> Path:
        """Fetch the job's files into `named-outputs/<output>/` and `artifacts/` of a folder, which is returned.

        Args:
            download_path: the folder.
            output_name: which output: `score`; None: the logs alone, which are the artifacts.
            all: whether to fetch every output and the artifacts.

        Raises:
            Mistake: the job has not ended, or has no such output.

        """
        folder = Path(download_path).expanduser()
        if not self.ended:
            self.refresh()
        download.check_ended(str(self["status"]))
        named = list(self["outputs"] or {}) if all else [output_name or download.ARTIFACTS]
        for output in named:
            if output == download.ARTIFACTS:
                continue
            download.check_output(self._plain(), output)
            download.download_output(self._server, self["name"], output, folder / "named-outputs" / output)
        if all or download.ARTIFACTS in named:
            download.download_output(self._server, self["name"], download.ARTIFACTS, folder / "artifacts")
        return folder

    def __reduce__(self) -> tuple[type[Resource], tuple[dict[str, Any]]]:  # type: ignore[override]
        """Let a copy be its document alone, without the server."""
        return Resource, (self._plain(),)

    def __repr__(self) -> str:
        """Return name, status and output in one line."""
        score = (self._plain().get("outputs") or {}).get("score") or {}
        return f"<gristmill.service.ServiceJob {self['name']}: {self['status']}, output {score.get('path')}>"

    def _repr_html_(self) -> str:
        return job_html(self._plain())

    @property
    def _server(self) -> Http:
        http: Http = object.__getattribute__(self, "_http")
        return http

    @property
    def _files(self) -> Uploads:
        uploads: Uploads = object.__getattribute__(self, "_uploads")
        return uploads

    def _path(self) -> str:
        return place("jobs", self["name"])

    def _ask(self, wish: str, document: Mapping[str, Any] | None = None) -> Self:
        answer = self._server.send("POST", f"{self._path()}/{wish}", document=document or {}, again=True)
        return self._take(answer.document)

    def _take(self, document: Any) -> Self:
        if isinstance(document, dict) and "status" in document:
            plain = self._plain()
            plain.clear()
            plain.update(document)
        return self

    def _follow(self, timeout: float | None, *, progress: bool) -> None:
        if not progress:
            for _ in self.stream(timeout):
                pass
            return
        with open_display(self["name"]) as display:
            for _ in self.stream(timeout):
                display.show(*self.standing())

    def standing(self) -> tuple[JobStatus, str, Progress]:
        """Return what a display shows; a status that this version does not know is told as a detail."""
        job = self._plain()
        status, detail = str(job["status"]), str(job.get("detail") or "")
        progress = Progress.from_json(job.get("progress") or {})
        if status in JobStatus.__members__.values():
            return JobStatus(status), detail, progress
        return JobStatus.RUNNING, f"{status}: {detail}" if detail else status, progress

    def _check(self) -> None:
        status, error = self["status"], self._plain().get("error")
        if status == JobStatus.COMPLETED:
            return
        if error:
            raise GristmillError.from_json(dict(error))
        kind = JobCanceled if status == JobStatus.CANCELED else JobFailed
        raise kind(f"job {self['name']}: {status}")

    def _settings(self) -> spec.Settings:
        """Return the settings that the job ran with."""
        return spec.from_json(spec.Settings, self._plain().get("settings") or {})
