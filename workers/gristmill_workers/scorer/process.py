"""A scorer's life: start, init(), frame after frame of mini-batches, shutdown(), end."""

# Paths are plain strings here: a Path a mini-batch would cost more than the mini-batch.
# ruff: noqa: PTH118
# ruff: noqa: PTH

from __future__ import annotations

import atexit
import contextlib
import json
import logging
import os
import sys
import threading
from time import perf_counter
from typing import Any, Collection, NamedTuple

from . import entry_script, faults, surroundings
from .outbox import Outbox
from .protocol import Progress, read_frame
from .scoring import NoCodeScoring, Scored, ScriptScoring
from .sink import Sink
from .start import Start
from .written import WrittenFiles

_LOG = logging.getLogger("gristmill.scorer")

#: Seconds that the user's atexit handlers may take before the process ends all the same.
ATEXIT_SECONDS = 5.0


def live(in_fd: int, out_fd: int, progress_fd: int, bare: Collection[str]) -> None:
    """Live a scorer's life over the given descriptors; does not return."""
    surroundings.die_with_parent()
    surroundings.die_first()
    progress = Progress(progress_fd)
    os.close(progress_fd)
    in_fd, out_fd = surroundings.move_high(in_fd), surroundings.move_high(out_fd)
    os.register_at_fork(after_in_child=lambda: _close(in_fd, out_fd))
    around = surroundings.Surroundings()
    frame = read_frame(in_fd)
    if frame is None:
        os._exit(0)
    if "variables" in frame[0]:
        around.dress(frame[0])
    start = Start.from_frame(frame[0])
    if start.parent and os.getppid() != start.parent:
        os._exit(0)  # the node ended before its end could be watched
    scorer = Scorer(start, progress, Outbox(out_fd), around)
    try:
        leave(scorer.serve(in_fd, bare))
    except BrokenPipeError:
        os._exit(1)  # nobody listens


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        with contextlib.suppress(OSError):
            os.close(descriptor)


def leave(code: int) -> None:
    """End the process: the user's atexit handlers run, for a bounded time; threads left behind keep nothing up.

    Python's own end would join the user's threads and take a large library apart, which takes seconds.
    """
    watch = threading.Timer(ATEXIT_SECONDS, os._exit, [code])
    watch.daemon = True
    watch.start()
    with contextlib.suppress(BaseException):
        atexit._run_exitfuncs()  # noqa: SLF001 - there is no public way, and every Python has it
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(BaseException):
            stream.flush()
    os._exit(code)


class _Attempt(NamedTuple):
    number: int
    attempt: int
    #: How many items it has.
    items: int


class Scorer:
    """What lives between the first frame and the last."""

    def __init__(self, start: Start, progress: Progress, outbox: Outbox, around: surroundings.Surroundings) -> None:
        """Hold the parts together; nothing of the user's runs yet."""
        self._start = start
        self._progress = progress
        self._outbox = outbox
        self._around = around
        self._files = WrittenFiles(start.output_dir, start.staging_dir)
        self._scoring: ScriptScoring | NoCodeScoring | None = None
        self._spool = os.path.join(start.working_dir, f".{start.process}-")

    def serve(self, in_fd: int, bare: Collection[str]) -> int:
        """Run init(), then every frame until `stop` or the pipe's end; return the exit code."""
        self._settle()
        if not self._load(bare):
            return 1
        while True:
            frame = read_frame(in_fd)
            if frame is not None and frame[0]["type"] == "run":
                self._run(frame[0]["batches"])
            elif frame is not None and frame[0]["type"] == "lines":
                self._run(_of_lines(*frame), together=True)
            elif frame is not None and frame[0]["type"] == "job":
                self._begin(frame[0])
            elif frame is None or frame[0]["type"] != "rest" or not self._rest():
                self._stop()
                return 0

    def _settle(self) -> None:
        """Make the process what a script expects: folder, arguments, log, EntryScript."""
        start = self._start
        surroundings.log_to_stderr(start.logging_level)
        self._around.enter(start.working_dir)
        sys.argv[:] = [os.path.join(start.code or "", start.script), *start.argv]
        self._entry_script = entry_script.offer(start)

    def _load(self, bare: Collection[str]) -> bool:
        """Run init() and report; False: it failed."""
        began = perf_counter()
        try:
            if self._start.kind == "mlflow":
                self._scoring = NoCodeScoring(self._start, self._progress)
            else:
                self._scoring = ScriptScoring(self._start, self._progress, bare)
            self._scoring.load()
        except BaseException as error:  # noqa: BLE001 - SystemExit, KeyboardInterrupt: the user's, all of them
            self._around.restore()
            self._outbox.send({"type": "failed", "error": faults.as_error(error)})
            return False
        self._around.restore()
        self._files.keep()
        self._ready(perf_counter() - began)
        return True

    def _ready(self, init_seconds: float) -> None:
        self._outbox.send(
            {
                "type": "ready",
                "init_seconds": init_seconds,
                "python": sys.version.split()[0],
                "versions": surroundings.loaded_versions(),
            }
        )

    def _rest(self) -> bool:
        """End the job, ready for another; False: this process cannot serve two.

        A script with a shutdown() expects it at the end of its job, and so do files that init() left open. Where the C
        library cannot be told to write what it holds, lines of one job would come out in the next one's log.
        """
        self._around.restore()
        if self._scoring is None or self._scoring.ends_jobs or self._files.lasting or not surroundings.flush_c():
            return False
        self._around.redirect("", "")
        entry_script.close_log()
        self._files.discard()
        self._outbox.send({"type": "rested"})
        return True

    def _begin(self, job: dict[str, Any]) -> None:
        """Take the next job."""
        assert self._scoring is not None
        self._around.redirect(job["stdout"], job["stderr"])
        self._entry_script.begin(job["node"])
        self._files.discard()  # what a thread wrote meanwhile is of no job
        self._files.begin(job["staging_dir"])
        self._scoring.begin(job["root"])
        self._ready(0.0)

    def _run(self, batches: list[dict[str, Any]], *, together: bool = False) -> None:
        """Score the mini-batches of one frame; `together`: results may be told by column."""
        self._outbox.begin(together=together)
        self._around.restore_signals()
        for batch in batches:
            self._outbox.add(*self.attempt(batch))
        self._progress.leave()
        self._around.flush()
        self._outbox.flush()

    def attempt(self, batch: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """Score one mini-batch; return (its result in the protocol's words, its rows). Nothing the user does raises."""
        assert self._scoring is not None
        number, attempt, items = batch["n"], batch["attempt"], batch["items"]
        work = _Attempt(number, attempt, len(items))
        self._around.restore()
        label = batch.get("label") or f"{number}-{attempt}"
        sink = Sink(f"{self._spool}{label}.rows")
        began = perf_counter()
        try:
            scored = self._scoring.score(number, items, sink, batch.get("slices"))
            files = self._files.take(label)
            payload, spool = sink.finish()
            writing = max(0.0, perf_counter() - began - scored.seconds)
        except BaseException as error:  # noqa: BLE001 - SystemExit, KeyboardInterrupt: the user's, all of them
            seconds = perf_counter() - began
            self._progress.wrap_up(number)
            self._clear(sink)
            return _failed(work, seconds, faults.as_error(error)), b""
        return _done(work, scored, files, sink.size, spool, writing=writing), payload

    def _clear(self, sink: Sink) -> None:
        """Leave nothing of a failed attempt."""
        self._around.restore()
        try:
            sink.discard()
            self._files.discard()
        except OSError as error:
            _LOG.warning("what a failed mini-batch wrote could not be deleted: %s", error)

    def _stop(self) -> None:
        """Run shutdown(), hand over what the script kept in its output folder, say goodbye."""
        self._around.restore()
        try:
            if self._scoring is not None:
                self._scoring.close()
        except BaseException:  # noqa: BLE001 - SystemExit, KeyboardInterrupt: the user's, all of them
            _LOG.warning("shutdown() failed", exc_info=True)
        self._around.restore()
        self._around.flush()
        self._outbox.send({"type": "stopped", "files": self._files.take_last()})


def _of_lines(header: dict[str, Any], payload: bytes) -> list[dict[str, Any]]:
    """Return the mini-batches of a `lines` frame."""
    batches: list[dict[str, Any]] = json.loads(b"[" + payload.replace(b"\n", b",") + b"]")
    for batch in batches:
        batch["attempt"] = header["attempt"]
    return batches


def _done(
    work: _Attempt, scored: Scored, files: list[str], size: int, spool: str | None, *, writing: float
) -> dict[str, Any]:
    written = scored.written
    result = {
        "n": work.number,
        "attempt": work.attempt,
        "outcome": "done",
        "items": work.items,
        "succeeded": scored.succeeded,
        "rows": written.rows,
        "seconds": scored.seconds,
        "writing": writing,
        "bytes": size,
        "columns": written.columns,
        "encoding": written.encoding,
        "errors": scored.errors,
        "files": files,
    }
    if spool is not None:
        result["spool"] = spool
    return result


def _failed(work: _Attempt, seconds: float, error: dict[str, Any]) -> dict[str, Any]:
    return {
        "n": work.number,
        "attempt": work.attempt,
        "outcome": "failed",
        "items": work.items,
        "succeeded": 0,
        "rows": 0,
        "seconds": seconds,
        "bytes": 0,
        "columns": None,
        "encoding": "none",
        "errors": [error],
        "files": [],
    }
