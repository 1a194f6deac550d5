"""`gristmill up` and `gristmill down`: the whole service on this machine, in the background."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any, Final

from gristmill.cli.options import command
from gristmill.cli.output import print_result
from gristmill.cli.up_wish import add_wish, read_wish
from gristmill.counts import counted
from gristmill.errors import GristmillError
from gristmill.local.run_folder import find_run_folder
from gristmill.local.up import Running, bring_up, stay_up, take_down
from gristmill.settings import ProcessSettings

_UP: Final = """\
  gristmill up
  gristmill up --slots 2 --allow-root /data
  gristmill up --foreground --host 0.0.0.0 --port 8890 --tls-cert server.pem --tls-key server.key
"""

_DOWN: Final = """\
  gristmill down
"""

_NEXT: Final = """\
next:      gristmill batch-endpoint create -n my-endpoint
           gristmill batch-deployment create -f deployment.yml -e my-endpoint --set-default
           gristmill batch-endpoint invoke -n my-endpoint --input images/
           gristmill status, gristmill down
"""


def add(commands: Any) -> None:
    """Add the commands."""
    up = command(commands, "up", summary="start everything on this machine, in the background", example=_UP)
    _add_workspace(up)
    add_wish(up)
    up.add_argument("--foreground", action="store_true", help="stay in front, until Ctrl-C or SIGTERM")
    up.set_defaults(command=_up)
    down = command(commands, "down", summary="end what `gristmill up` started", example=_DOWN)
    _add_workspace(down)
    down.set_defaults(command=_down)


def _up(options: argparse.Namespace) -> int:
    settings = ProcessSettings.read()
    run = find_run_folder(options.workspace or settings.workspace)
    wish = read_wish(options, run.workspace)
    if options.foreground:
        ended = stay_up(wish, run, settings, tell=lambda event: _tell(event, options))
        if not isinstance(ended, Running):
            return ended
        found = ended
    else:
        found = bring_up(wish, run, settings)
    _show(found.document, options, before=found.before)
    return 0


def _tell(event: Mapping[str, Any], options: argparse.Namespace) -> None:
    """Show what the daemon says when it is this process itself."""
    document = dict(event)
    if document.pop("event") == "ready":
        _show(document, options, before=False)
        sys.stdout.flush()
        return
    error = GristmillError.from_json(document["error"])
    sys.stderr.write(f"{error.detail.rstrip()}\n" if error.detail else "")
    sys.stderr.write(f"error: {error.message}\n")


def _show(document: Mapping[str, Any], options: argparse.Namespace, *, before: bool) -> None:
    if options.format or options.query:
        print_result(dict(document), options.format, options.query)
        return
    sys.stdout.write(
        f"{'already up' if before else 'up'}: {document['url']}\n\n"
        f"workspace: {document['workspace']}\n"
        f"token:     in {document['token_file']} (commands on this machine find it)\n"
        f"models:    {document['models']}\n"
        f"{'' if before else _NEXT}"
    )


def _down(options: argparse.Namespace) -> int:
    ended = take_down(find_run_folder(options.workspace or ProcessSettings.read().workspace))
    if options.format or options.query:
        print_result({"pid": ended.pid, "unfinished_jobs": ended.unfinished}, options.format, options.query)
        return 0
    sys.stdout.write("down\n" if ended.pid else "nothing was up\n")
    if ended.unfinished:
        jobs = counted(ended.unfinished, "job goes", "jobs go")
        sys.stdout.write(f"{jobs} on at the next `gristmill up`\n")
    return 0


def _add_workspace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workspace", metavar="FOLDER", help="what the server keeps (default: ~/.local/share/gristmill/workspace)"
    )
