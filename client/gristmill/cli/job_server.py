"""`gristmill job ... --name`: jobs of a server."""

from __future__ import annotations

import argparse
import sys
import time
from typing import Any, Final

from gristmill.cli import server
from gristmill.cli.assets import which
from gristmill.cli.job_words import print_findings
from gristmill.cli.service_options import add_name, service_command
from gristmill.cli.views import ERROR, JOB, note, show, show_all
from gristmill.errors import GristmillError, Mistake
from gristmill.service.resource import plain

#: Seconds that the end of a cancelled job is waited for, and between two looks.
_WAIT_SECONDS: Final = 60.0
_LOOK_SECONDS: Final = 0.25

#: MLClient's words for which jobs a list has.
_VIEWS: Final = {"exclude": "ACTIVE_ONLY", "only": "ARCHIVED_ONLY", "include": "ALL"}

_LIST: Final = """\
  gristmill job list -o table
  gristmill job list --parent-job-name digits-1 --query [].name -o tsv
"""

_DOWNLOAD: Final = """\
  gristmill job download -n digits-1 --output-name score
  gristmill job download -n digits-1 --all --download-path results/
"""

_ARCHIVE: Final = """\
  gristmill job archive -n digits-1
"""

_RESTORE: Final = """\
  gristmill job restore -n digits-1
"""

_ERRORS: Final = """\
  gristmill job errors -n digits-1 -o table
"""


def add(below: Any) -> None:
    """Add the commands that only a server's jobs have."""
    _add_list(below)
    text = "fetch what a job left: named-outputs/ and artifacts/ (its logs)"
    download = service_command(below, "download", _download, summary=text, example=_DOWNLOAD)
    add_name(download, "job")
    download.add_argument("--output-name", metavar="NAME", help="fetch this output: score (default: the logs alone)")
    download.add_argument("-p", "--download-path", metavar="DIR", default=".", help="where to (default: here)")
    download.add_argument("--all", action="store_true", help="fetch every output, and the logs")
    archive = service_command(
        below, "archive", _file_away("archive"), summary="leave a job out of lists", example=_ARCHIVE
    )
    add_name(archive, "job")
    restore = service_command(
        below, "restore", _file_away("restore"), summary="put an archived job back into lists", example=_RESTORE
    )
    add_name(restore, "job")
    text = "list the items that failed, and why"
    errors = service_command(below, "errors", _errors, summary=text, example=_ERRORS)
    add_name(errors, "job")


def _add_list(below: Any) -> None:
    listing = service_command(below, "list", _list, summary="list the server's jobs, newest first", example=_LIST)
    listing.add_argument("-p", "--parent-job-name", metavar="NAME", help="list the steps of this job")
    listing.add_argument("-r", "--max-results", type=int, default=50, metavar="N", help="at most so many (default: 50)")
    text = "list all of them"
    listing.add_argument(
        "--all-results", nargs="?", type=_truth, const=True, default=False, metavar="true|false", help=text
    )
    listing.add_argument("--archived-only", action="store_true", help="list those that are archived")
    listing.add_argument("--include-archived", action="store_true", help="list those that are archived as well")


def _truth(text: str) -> bool:
    """Return what a flag of Azure's says that may be followed by its value."""
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
    if text.lower() not in words:
        raise argparse.ArgumentTypeError(f"{text}: give true or false")
    return words[text.lower()]


def _list(options: argparse.Namespace) -> int:
    found = server.connect().jobs.list(
        parent_job_name=options.parent_job_name,
        list_view_type=_VIEWS[which(options)],
        max_results=None if options.all_results else options.max_results,
    )
    return show_all(found, options, JOB)


def _download(options: argparse.Namespace) -> int:
    if options.all and options.output_name:
        raise Mistake("--all and --output-name: give one of them")
    folder = server.connect().jobs.download(
        options.name, download_path=options.download_path, output_name=options.output_name, all=options.all
    )
    note(f"downloaded to {folder}", options)
    return 0


def _file_away(word: str) -> Any:
    def run(options: argparse.Namespace) -> int:
        getattr(server.connect().jobs, word)(options.name)
        note(f"job {options.name}: {word}d", options)
        return 0

    return run


def _errors(options: argparse.Namespace) -> int:
    return show_all(server.connect().jobs.errors(options.name), options, ERROR)


def show_job(options: argparse.Namespace) -> int:
    """Print a job's document; with `--web`, where a browser finds it."""
    job = server.connect().jobs.get(options.name)
    if options.web:
        _open(web_view(job), options)
    return show(job, options, JOB)


def web_view(job: Any) -> str:
    """Return the address of a job for a browser, "" where it has none."""
    return str(((job.get("services") or {}).get("Studio") or {}).get("endpoint") or "")


def _open(address: str, options: argparse.Namespace) -> None:
    note(f"Web View: {address}", options)
    if sys.stdout.isatty() and address:
        import webbrowser  # noqa: PLC0415 - asked for rarely

        webbrowser.open(address)


def ask(wish: str) -> Any:
    """Return the command that passes a wish on and prints the job."""

    def run(options: argparse.Namespace) -> int:
        return show(getattr(server.connect().jobs, wish)(options.name), options, JOB)

    return run


def cancel(options: argparse.Namespace) -> int:
    """Ask for a job's end, wait for it, and print the job."""
    jobs = server.connect().jobs
    job = jobs.cancel(options.name, keep_partial=options.keep_partial)
    deadline = time.monotonic() + _WAIT_SECONDS
    while not (options.no_wait or job.ended):
        if time.monotonic() > deadline:
            raise GristmillError(f"job {options.name}: not ended after {_WAIT_SECONDS:g} s; the server will end it")
        time.sleep(_LOOK_SECONDS)
        job = jobs.get(options.name)
    return show(job, options, JOB)


def verify(options: argparse.Namespace) -> int:
    """Print whether what came out of a job is right."""
    return print_findings(plain(server.connect().jobs.verify(options.name)), options)
