"""`client.jobs`: the jobs of all endpoints."""

from __future__ import annotations

import builtins
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

from gristmill.errors import Mistake, ServerFailed
from gristmill.service import download
from gristmill.service.http import Http, place
from gristmill.service.jobs import ServiceJob
from gristmill.service.resource import Resource
from gristmill.service.streaming import print_stream
from gristmill.service.uploads import Uploads

#: Which jobs a list has, in MLClient's words, and in the server's.
_VIEWS: Final = {"ACTIVE_ONLY": "exclude", "ARCHIVED_ONLY": "only", "ALL": "include"}


class Jobs:
    """What is done with jobs; a child job's name (`<job>_batchscoring`) means the same job."""

    def __init__(self, http: Http, uploads: Uploads) -> None:
        """Take the server."""
        self._http, self._uploads = http, uploads

    def get(self, name: str) -> ServiceJob:
        """Return a job.

        Raises:
            JobNotFound: the server has none of that name.

        """
        return self.made(self._http.get(place("jobs", name)).document)

    def list(
        self,
        *,
        parent_job_name: str | None = None,
        list_view_type: str = "ACTIVE_ONLY",
        max_results: int | None = None,
        status: str | None = None,
    ) -> Iterator[ServiceJob]:
        """Go through jobs, the newest first.

        Args:
            parent_job_name: only the children of that one.
            list_view_type: ACTIVE_ONLY, ARCHIVED_ONLY or ALL.
            max_results: how many at most; None: all.
            status: only jobs of that status.

        """
        view = str(getattr(list_view_type, "value", list_view_type)).upper().rpartition(".")[2]
        view = view if view in _VIEWS else _snake(str(list_view_type))
        if view not in _VIEWS:
            raise Mistake(f"list_view_type: {list_view_type!r}; give one of {', '.join(_VIEWS)}")
        params = {"archived": _VIEWS[view], "parent": parent_job_name, "status": status}
        return self.pages(place("jobs"), params, max_results)

    def pages(self, path: str, params: Mapping[str, str | int | None], most: int | None) -> Iterator[ServiceJob]:
        """Go through the jobs of a list of the server's."""
        limit = None if most is None else max(1, min(most, 1000))
        for document in self._http.pages(path, params={**params, "limit": limit}, most=most):
            yield self.made(document)

    def made(self, document: Any) -> ServiceJob:
        """Return the job of a document that the server showed."""
        if not isinstance(document, dict) or not {"name", "status"} <= document.keys():
            raise ServerFailed(f"{self._http.url}: answered no job; is this a Gristmill server?")
        return ServiceJob(document, http=self._http, uploads=self._uploads)

    def stream(self, name: str, *, out: TextIO | None = None) -> None:
        """Print a job's logs and progress until its end, then a summary; raise what ended it.

        Raises:
            GristmillError: as `ServiceJob.wait`.

        """
        print_stream(self.get(name), out or sys.stdout)

    def download(
        self,
        name: str,
        download_path: str | Path = ".",
        output_name: str | None = None,
        all: bool = False,  # noqa: A002 - MLClient's word
    ) -> Path:
        """Fetch a job's files; see `ServiceJob.download`."""
        return self.get(name).download(download_path, output_name=output_name, all=all)

    def cancel(self, name: str, *, keep_partial: bool = False) -> ServiceJob:
        """Ask for a job's end; see `ServiceJob.cancel`."""
        return self._ask(name, "cancel", {"keep_partial": keep_partial})

    def pause(self, name: str) -> ServiceJob:
        """Ask that no mini-batch of a job is begun any more."""
        return self._ask(name, "pause")

    def unpause(self, name: str) -> ServiceJob:
        """Let a paused job go on."""
        return self._ask(name, "unpause")

    def archive(self, name: str) -> ServiceJob:
        """Leave a job out of lists from now on."""
        return self._ask(name, "archive")

    def restore(self, name: str) -> ServiceJob:
        """Let a job be in lists again."""
        return self._ask(name, "restore")

    def resume(self, name: str) -> ServiceJob:
        """Go on with a job that was cancelled or failed; what it scored is not scored again."""
        return self._ask(name, "resume", again=False)

    def retry_failed(self, name: str) -> ServiceJob:
        """Score the failed items of a completed job again; return the job that does it."""
        return self._ask(name, "retry-failed", again=False)

    def verify(self, name: str) -> Resource:
        """Compare a job's output with its manifest and index: `ok`, `checked`, and `faults`, a sentence each."""
        return Resource(self._http.send("POST", place("jobs", name, "verify"), document={}, again=True).document)

    def errors(self, name: str) -> builtins.list[dict[str, Any]]:
        """Return what became of each failed item of a job."""
        return self.made({"name": name, "status": ""}).errors()

    def files(self, name: str, output_name: str | None = None) -> builtins.list[dict[str, Any]]:
        """Return path and size of each file of an output (None: of the logs) as it is now, also while the job runs."""
        return download.list_files(self._http, name, output_name or download.ARTIFACTS)

    def read(self, name: str, path: str, output_name: str | None = None) -> Iterator[bytes]:
        """Go through the bytes of one file of an output (None: of the logs).

        Raises:
            GristmillError: there is no such file, or the connection breaks.

        """
        output = output_name or download.ARTIFACTS
        with self._http.stream(place("jobs", name, "files", output, *path.split("/"))) as response:
            yield from response.iter_bytes()

    def _ask(
        self, name: str, wish: str, document: Mapping[str, Any] | None = None, *, again: bool = True
    ) -> ServiceJob:
        answer = self._http.send("POST", place("jobs", name, wish), document=document or {}, again=again)
        return self.made(answer.document) if isinstance(answer.document, dict) else self.get(name)


def _snake(word: str) -> str:
    """Return `ActiveOnly`, as Azure's enumeration has it, as ACTIVE_ONLY."""
    spaced = "".join(f"_{letter}" if letter.isupper() else letter for letter in word)
    return spaced.strip("_").upper()
