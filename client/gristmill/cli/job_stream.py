"""`gristmill job stream`: a server's job, followed until its end."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, Final

from gristmill.cli import server
from gristmill.cli.job_server import web_view
from gristmill.cli.service_options import add_name, service_command

if TYPE_CHECKING:
    from gristmill.service.jobs import ServiceJob

_STREAM: Final = """\
  gristmill job stream -n digits-1
"""

_INTERRUPTED: Final = 130


def add(below: Any) -> None:
    """Add the command."""
    text = "follow a job's logs until its end; exit as the job did"
    parser = service_command(below, "stream", _stream, summary=text, example=_STREAM)
    add_name(parser, "job")


def _stream(options: argparse.Namespace) -> int:
    job = server.connect().jobs.get(options.name)
    try:
        if sys.stdout.isatty() and sys.stderr.isatty():
            _show(job)
        else:
            _print(job)
    except KeyboardInterrupt:
        again = f"gristmill job stream -n {options.name}"
        end = f"gristmill job cancel -n {options.name}"
        sys.stderr.write(f"\njob {options.name} goes on; {again} follows it again, {end} ends it\n")
        return _INTERRUPTED
    return 0


def _print(job: ServiceJob) -> None:
    # With it comes the HTTP library, for which no other command waits.
    from gristmill.service.streaming import print_stream  # noqa: PLC0415

    print_stream(job, sys.stdout, progress=sys.stderr)


def _show(job: ServiceJob) -> None:
    """Follow a job on a terminal: its logs run above a live picture.

    Raises:
        GristmillError: what ended the job.

    """
    # rich takes as long to import as all of the client.
    from gristmill.cli.live import LiveDisplay  # noqa: PLC0415
    from gristmill.service.streaming import execution_summary  # noqa: PLC0415 - as below, with the HTTP library

    sys.stdout.write(f"RunId: {job['name']}\nWeb View: {web_view(job)}\n\n")
    sys.stdout.flush()
    file = ""
    with LiveDisplay(job["name"], sys.stderr) as display:
        for event in job.stream():
            if event.name == "log":
                if event.data.get("file") != file:
                    file = event.data.get("file", "")
                    display.line(f"Streaming {file}")
                display.line(str(event.data.get("text", "")).rstrip("\n"))
            display.show(*job.standing())
    sys.stdout.write(execution_summary(job))
    job.wait()
