"""`gristmill node`: make this machine one of those that score."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from gristmill.cli.options import command
from gristmill.errors import Mistake
from gristmill.local.requirements import require_node
from gristmill.settings import ProcessSettings

_EXAMPLE = """\
  GRISTMILL_REDIS_URL=redis://host:6379/0 gristmill node --compute gpu-cluster --slots 2
"""


def add(commands: Any) -> None:
    """Add the command."""
    parser = command(commands, "node", summary="serve a compute from this machine until SIGTERM", example=_EXAMPLE)
    parser.add_argument("--compute", required=True, metavar="NAME", help="the compute, as deployments name it")
    parser.add_argument("--slots", type=_count, default=1, metavar="N", help="instances at a time (default: 1)")
    parser.set_defaults(command=_node)


def _node(options: argparse.Namespace) -> int:
    if not ProcessSettings.read().redis_url:
        raise Mistake("GRISTMILL_REDIS_URL is not set: give the address of the cluster's Redis, as redis://host:6379/0")
    require_node()
    arguments = ["--compute", options.compute, "--slots", str(options.slots)]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", "gristmill_workers", *arguments])  # noqa: S606 - becomes it


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from 1 on")
    return int(text)
