"""A job as its user holds it: status, results, and the way to end it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Self

from gristmill import results, spec
from gristmill.cli.display import open_display
from gristmill.cli.progress import Display
from gristmill.errors import GristmillError, JobNotFound, NotFound
from gristmill.local.events import Outcome, Progress
from gristmill.local.session import Session
from gristmill.states import JobStatus

if TYPE_CHECKING:
    import pandas as pd

#: Seconds between two looks at a running job.
_TICK_SECONDS: Final = 0.1


class Job:
    """A job that runs in processes of its own; `gristmill.run` returns one.

    >>> job = gristmill.run("deployment.yml", input="images/", output="scores/")  # doctest: +SKIP
    >>> job.wait().to_pandas()                                                    # doctest: +SKIP
    """

    def __init__(self, session: Session, *, settings: spec.Settings, output_folder: str) -> None:
        """Take the session that runs it and what is needed to read its results."""
        self._session = session
        self._settings = settings
        self._output_folder = output_folder

    @property
    def name(self) -> str:
        """The job's name, unique."""
        return self._session.name

    @property
    def status(self) -> JobStatus:
        """Where it stands."""
        return self._session.status

    @property
    def detail(self) -> str:
        """What it waits for, in words; often nothing."""
        return self._session.detail

    @property
    def progress(self) -> Progress:
        """How far it is, as last heard."""
        return self._session.progress

    @property
    def folder(self) -> str:
        """Path or URL of its own folder: manifest, logs, and what a resume needs."""
        return self._session.folder

    @property
    def resumable(self) -> bool:
        """Whether it has ended without being done, and left what `gristmill.resume` goes on with."""
        outcome = self._session.outcome
        if outcome is not None and outcome.error is not None and outcome.error.get("class") == JobNotFound.__name__:
            return False  # somebody removed its folder
        return self._session.accepted and self.status.terminal and self.status is not JobStatus.COMPLETED

    @property
    def resumed(self) -> bool:
        """Whether another process began it, and this one goes on with it."""
        return self._session.resumed

    @property
    def output(self) -> str:
        """Path or URL of the output; where it is going to be, as long as the job runs."""
        outcome = self._session.outcome
        if outcome is not None and outcome.output:
            return outcome.output
        if self._settings.output_action is spec.OutputAction.SUMMARY_ONLY:
            return self._output_folder
        return f"{self._output_folder}/{self._settings.output_file_name}"

    @property
    def summary(self) -> dict[str, Any]:
        """The summary's document; waits for the job's end.

        Raises:
            NotFound: the job left none, or none that this machine can read.

        """
        outcome = self._end()
        if not outcome.summary:
            raise NotFound(f"job {self.name}: it left no summary")
        return dict(outcome.document) if outcome.document else results.read_summary(outcome.summary)

    @property
    def summary_path(self) -> str:
        """Path or URL of the summary, "" when there is none; waits for the job's end."""
        return self._end().summary

    @property
    def errors(self) -> list[dict[str, Any]]:
        """What became of each failed item (file, mini_batch, attempts, category, message ...); waits for the end."""
        address = self.errors_path
        return results.read_errors(address) if address else []

    @property
    def errors_path(self) -> str:
        """Path or URL of errors.jsonl, "" when there is none; waits for the job's end."""
        return self._end().errors

    def wait(self, timeout: float | None = None, *, progress: bool = False) -> Self:
        """Wait for the job's end and return the job.

        Args:
            timeout: seconds to wait at most; None: as long as it takes. The job goes on after a timeout.
            progress: whether to show the progress on stderr.

        Raises:
            TimeoutError: the job has not ended by then.
            JobFailed: it failed; `InitFailed`, `ThresholdExceeded` and `NothingSucceeded` say how.
            JobCanceled: it was cancelled.
            Mistake: it was refused, and nothing was started.
            GristmillError: a process that it needs ended, or any other of the tree.

        """
        if progress:
            with open_display(self.name) as display:
                over = self.follow(display, timeout=timeout)
        else:
            over = self._session.wait(timeout)
        if not over:
            raise TimeoutError(f"job {self.name}: not ended after {timeout:g} s")
        return self._checked()

    def follow(
        self, display: Display, *, timeout: float | None = None, until: Callable[[], bool] | None = None
    ) -> bool:
        """Show the progress until the job's end; return whether that has come.

        Args:
            display: where it is shown.
            timeout: seconds at most.
            until: asked ten times a second; stops the showing when it answers True.

        """
        deadline = None if timeout is None else time.monotonic() + timeout
        told = len(self._session.notes)
        while not self._session.wait(_TICK_SECONDS):
            for note in self._session.notes[told:]:
                display.note(note)
                told += 1
            display.show(self.status, self.detail, self.progress)
            if (until is not None and until()) or (deadline is not None and time.monotonic() >= deadline):
                return False
        display.show(self.status, self.detail, self.progress)
        return True

    def cancel(self, *, keep_partial: bool = False) -> None:
        """Ask for the job's end. What was scored is kept, and `gristmill.resume` goes on with it.

        Args:
            keep_partial: whether what is finished is published: `output` then holds it, in order.

        """
        self._session.cancel(keep_partial=keep_partial)

    def pause(self) -> None:
        """Ask that no mini-batch is begun any more; those that run are finished, and the scorers stay."""
        self._session.pause(paused=True)

    def unpause(self) -> None:
        """Let a paused job go on."""
        self._session.pause(paused=False)

    def gone(self, timeout: float) -> bool:
        """Return whether the job's processes have ended, after at most `timeout` seconds; they outlast it a little."""
        return self._session.gone(timeout)

    def close(self, *, at_once: bool = False) -> None:
        """End the job's processes, whether it is done or not; `at_once` kills them."""
        self._session.close(at_once=at_once)

    def to_pandas(self) -> pd.DataFrame:
        """Return the output as a DataFrame; waits for the job's end. Without a header, columns are numbered from 0.

        Raises:
            MissingExtra: pandas (for Parquet: pyarrow) is not installed.
            Mistake: the job writes no output file.
            GristmillError: as `wait`.

        """
        self.wait()
        return results.read_table(self.output, self._settings)

    def __repr__(self) -> str:
        """Return name, status and output in one line."""
        return f"<gristmill.Job {self.name}: {self.status}, output {self.output}>"

    def _end(self) -> Outcome:
        self._session.wait()
        outcome = self._session.outcome
        assert outcome is not None
        return outcome

    def _checked(self) -> Self:
        error = self._end().error
        if error is not None:
            raise GristmillError.from_json(dict(error))
        return self
