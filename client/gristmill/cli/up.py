"""`gristmill up` and `gristmill down`: the whole service on this machine, in the background."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from gristmill.cli.options import command
from gristmill.cli.output import print_result
from gristmill.errors import GristmillError, Mistake
from gristmill.local.run_folder import find_run_folder
from gristmill.local.service_wish import Wish
from gristmill.local.up import Running, bring_up, stay_up, take_down
from gristmill.settings import ProcessSettings

_UP: Final = """\
  gristmill up
  gristmill up --slots 2 --allow-root /data
  gristmill up --foreground --host 0.0.0.0 --port 8890
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

#: The greatest port.
_PORTS: Final = 65535


def add(commands: Any) -> None:
    """Add the commands."""
    up = command(commands, "up", summary="start everything on this machine, in the background", example=_UP)
    _add_workspace(up)
    up.add_argument(
        "--host", default="127.0.0.1", metavar="ADDRESS", help="the address to listen on (default: 127.0.0.1)"
    )
    up.add_argument("--port", type=_port, metavar="N", help="the port to listen on (default: 8890 if it is free)")
    up.add_argument("--slots", type=_slots, metavar="N", help="instances at a time (default: one a core)")
    up.add_argument(
        "--allow-root",
        action="append",
        default=[],
        metavar="FOLDER",
        help="let jobs read and write below this folder in place; may be given again",
    )
    up.add_argument("--foreground", action="store_true", help="stay in front, until Ctrl-C or SIGTERM")
    up.set_defaults(command=_up)
    down = command(commands, "down", summary="end what `gristmill up` started", example=_DOWN)
    _add_workspace(down)
    down.set_defaults(command=_down)


def _up(options: argparse.Namespace) -> int:
    settings = ProcessSettings.read()
    run = find_run_folder(options.workspace or settings.workspace)
    wish = Wish(
        workspace=run.workspace,
        host=options.host,
        port=options.port,
        slots=options.slots or _cores(),
        allow_roots=tuple(map(_root, options.allow_root)),
    )
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
        jobs = "1 job goes" if ended.unfinished == 1 else f"{ended.unfinished} jobs go"
        sys.stdout.write(f"{jobs} on at the next `gristmill up`\n")
    return 0


def _add_workspace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workspace", metavar="FOLDER", help="what the server keeps (default: ~/.local/share/gristmill/workspace)"
    )


def _root(text: str) -> str:
    path = Path(text).expanduser().absolute()
    if not path.is_dir():
        raise Mistake(f"--allow-root {text}: there is no such folder")
    return str(path.resolve())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _slots(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from 1 on")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _PORTS:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number up to {_PORTS}, 0 for any")
    return int(text)
