"""`gristmill node`: make this machine one of those that score."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any, NoReturn

from gristmill.cli.options import command
from gristmill.errors import Mistake
from gristmill.local import pulse
from gristmill.local.requirements import require_node
from gristmill.settings import ProcessSettings

_EXAMPLE = """\
  GRISTMILL_REDIS_URL=redis://host:6379/0 gristmill node --compute gpu-cluster --slots 2
"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(commands, "node", summary="serve a compute from this machine until SIGTERM", example=_EXAMPLE)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--compute", metavar="NAME", help="the compute, as deployments name it")
    what.add_argument(
        "--probe",
        nargs="?",
        const="alive",
        choices=("alive", "ready"),
        help="start nothing: exit with 0 if the node of GRISTMILL_PULSE_FILE is alive, or takes work",
    )
    parser.add_argument("--slots", type=_count, default=1, metavar="N", help="instances at a time (default: 1)")
    parser.add_argument(
        "--leave-when-idle", type=_seconds, metavar="SECONDS", help="leave after so long without work (default: never)"
    )
    parser.set_defaults(command=_node)


def _node(options: argparse.Namespace) -> int:
    settings = ProcessSettings.read()
    if options.probe is None:
        _become_node(settings, options)
    return _probe(settings, ready=options.probe == "ready")


def _become_node(settings: ProcessSettings, options: argparse.Namespace) -> NoReturn:
    if not settings.redis_url:
        raise Mistake("GRISTMILL_REDIS_URL is not set: give the address of the cluster's Redis, as redis://host:6379/0")
    require_node()
    arguments = ["--compute", options.compute, "--slots", str(options.slots)]
    if options.leave_when_idle is not None:
        arguments += ["--leave-when-idle", str(options.leave_when_idle)]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "gristmill_workers", *arguments])  # noqa: S606 - becomes it


def _probe(settings: ProcessSettings, *, ready: bool) -> int:
    if settings.pulse_file is None:
        raise Mistake("GRISTMILL_PULSE_FILE is not set: give the file that the node was started with")
    found = pulse.look(settings.pulse_file, ready=ready)
    sys.stdout.write(f"{'leaves' if found.leaving else 'alive'}, {found.running} running\n")
    return 0


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from 1 on")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 1 <= seconds <= 86400:  # noqa: PLR2004 - a day
        raise argparse.ArgumentTypeError(f"{text!r}: give a number of seconds from 1 to 86400")
    return seconds
