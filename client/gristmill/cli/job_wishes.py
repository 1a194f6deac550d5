"""`gristmill job cancel`, `pause` and `unpause`: what is wanted of a job that another process runs."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any, Final

from gristmill import api, asking
from gristmill.cli import job_server
from gristmill.cli.display import open_display
from gristmill.cli.interrupts import Interrupts
from gristmill.cli.job_place import add_place, job_command
from gristmill.cli.job_words import print_standing
from gristmill.errors import GristmillError, JobNotFound
from gristmill.local.session import close_all
from gristmill.states import ENDED, JobStatus
from gristmill.unfinished import find_running

#: Seconds that the end of a cancelled job is waited for.
_WAIT_SECONDS: Final = 60

#: Statuses of a job that does not run any more.
_ENDED: Final = frozenset({*ENDED, "Interrupted"})

_CANCEL = """\
  gristmill job cancel scores/
  gristmill job cancel scores/ --keep-partial
  gristmill job cancel -n digits-1
"""

_PAUSE = """\
  gristmill job pause scores/
  gristmill job pause -n digits-1
"""

_UNPAUSE = """\
  gristmill job unpause scores/
  gristmill job unpause -n digits-1
"""


def add(below: Any) -> None:
    """Add the commands."""
    cancel = job_command(below, "cancel", summary="end a job, whoever runs it", example=_CANCEL)
    add_place(cancel, here=_cancel, there=job_server.cancel)
    cancel.add_argument("--keep-partial", action="store_true", help="publish what is finished")
    cancel.add_argument("--no-wait", action="store_true", help="do not wait for the end (at most a minute)")
    text = "begin no mini-batch of a job any more, until unpause"
    pause = job_command(below, "pause", summary=text, example=_PAUSE)
    add_place(pause, here=lambda options: _pass_on("pause", options), there=job_server.ask("pause"))
    unpause = job_command(below, "unpause", summary="let a paused job go on", example=_UNPAUSE)
    add_place(unpause, here=lambda options: _pass_on("unpause", options), there=job_server.ask("unpause"))


def _pass_on(action: str, options: argparse.Namespace) -> int:
    folder, _ = find_running(options.path)
    standing = asking.ask(action, folder)
    if not standing["wished"]:
        raise _not_running(action, standing)
    print_standing(standing, options)
    return 0


def _cancel(options: argparse.Namespace) -> int:
    folder, _ = find_running(options.path)
    keep = ["--keep-partial"] if options.keep_partial else []
    wait = [] if options.no_wait else ["--wait", str(_WAIT_SECONDS)]
    standing = asking.ask("cancel", folder, "--by", _who(), *keep, *wait)
    if options.keep_partial and _has_more_to_give(standing):
        return _salvage(folder, options)
    if not standing["wished"]:
        sys.stderr.write(f"nobody runs job {standing['name']}; there is nothing to cancel\n")
    print_standing(standing, options)
    if not standing["wished"] or options.no_wait or standing["status"] in _ENDED:
        return 0
    raise GristmillError(f"job {standing['name']}: not ended after {_WAIT_SECONDS} s; whoever leads it will end it")


def _has_more_to_give(standing: dict[str, Any]) -> bool:
    """Return whether nobody runs an unfinished job, so that what is finished of it is still to be published."""
    return standing["running"] is False and standing["status"] != JobStatus.COMPLETED and not standing["output"]


def _salvage(folder: str, options: argparse.Namespace) -> int:
    """Publish what is finished of a job that nobody runs."""
    with Interrupts() as interrupts:
        try:
            job = api.salvage(folder)
            with open_display(job.name) as display:
                over = job.follow(display, until=lambda: interrupts.count() > 0)
            if not over:
                job.cancel()
        finally:
            close_all(at_once=interrupts.count() > 0)
    standing = asking.ask("show", folder)
    print_standing(standing, options)
    return 0 if standing["output"] else 1


def _not_running(action: str, standing: dict[str, Any]) -> GristmillError:
    return JobNotFound(f"nobody runs job {standing['name']} ({standing['status']}); there is nothing to {action}")


def _who() -> str:
    try:
        return f"{getpass.getuser()} with `gristmill job cancel`"
    except (OSError, KeyError):
        return "`gristmill job cancel`"
