"""`python -m gristmill_scheduler.wish`: looks at a job, and notes what the user wants of it, wherever its folder is.

The command line asks this process, because it knows no store itself. The answer is one JSON document on stdout.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from gristmill import log_lines
from gristmill.errors import GristmillError, Mistake
from gristmill.settings import ProcessSettings
from gristmill_scheduler.admission import read_job
from gristmill_scheduler.standing import Standing
from gristmill_scheduler.wishes import LOOK_SECONDS, Wishes
from gristmill_storage.files import is_local
from gristmill_storage.ledger import Ledger

#: Seconds between two looks at a job's end in a folder on local disk.
_LOCAL_LOOK_SECONDS: Final = 0.1

#: Seconds between two looks at whether anybody still runs it.
_LED_SECONDS: Final = 2.0

#: Seconds that the server is waited for: who asks wants an answer.
_PATIENCE_SECONDS: Final = 5.0

ACTIONS: Final = ("show", "cancel", "pause", "unpause")


def act(standing: Standing, options: argparse.Namespace) -> dict[str, Any]:
    """Do what is asked; return where the job stands then, and in `wished` whether the wish was noted."""
    wished = options.action != "show" and standing.result() is None and standing.led() is not False
    if wished:
        _note(Wishes(standing.folder), options)
        if options.action == "cancel" and options.wait:
            _wait(standing, options.wait)
    document = standing.document()
    if document["status"] == "Completed" and not standing.job.retry_of:
        name, begun = standing.next_retry()
        document["retry"] = {"name": name, "begun": begun}
    return {**document, "wished": wished}


def _note(wishes: Wishes, options: argparse.Namespace) -> None:
    if options.action == "cancel":
        wishes.cancel(keep_partial=options.keep_partial, by=options.by)
    else:
        wishes.pause(paused=options.action == "pause")


def _wait(standing: Standing, seconds: float) -> None:
    """Stay until the job has ended, or nobody is there any more to end it."""
    pause = _LOCAL_LOOK_SECONDS if is_local(standing.folder.url) else LOOK_SECONDS
    now = time.monotonic()
    deadline, look = now + seconds, now + _LED_SECONDS
    while standing.result() is None and (now := time.monotonic()) < deadline:
        if now >= look:
            if standing.led() is False:
                return
            look = now + _LED_SECONDS
        time.sleep(pause)


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer one question about a job."""
    parser = argparse.ArgumentParser(prog="gristmill_scheduler.wish", description="Look at a job; wish for its end.")
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("--folder", required=True, help="the job's folder, <output folder>/.gristmill/<job>")
    parser.add_argument("--keep-partial", action="store_true", help="with cancel: publish what is finished")
    parser.add_argument("--by", default="", help="with cancel: who asks, for messages")
    parser.add_argument("--wait", type=float, default=0.0, help="with cancel: seconds to wait for the end")
    options = parser.parse_args(arguments)
    try:
        settings = ProcessSettings.read()
        log_lines.begin("wish", settings, level=logging.WARNING)
        job, folder = read_job(options.folder)
        url = settings.redis_url
        ledger = Ledger(url, timeout=_PATIENCE_SECONDS, patience=_PATIENCE_SECONDS) if url else None
        document = act(Standing(job, folder, ledger), options)
    except GristmillError as error:
        sys.stdout.write(json.dumps({"failed": error.to_json()}) + "\n")
        return error.exit_code
    except ValueError as error:
        sys.stdout.write(json.dumps({"failed": Mistake(str(error)).to_json()}) + "\n")
        return Mistake.exit_code
    sys.stdout.write(json.dumps(document) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
