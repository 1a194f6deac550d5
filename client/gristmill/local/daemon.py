"""`python -m gristmill.local.daemon`: what `gristmill up` leaves behind when it has said that everything answers."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from gristmill import log_lines
from gristmill.local.service import Service
from gristmill.local.service_wish import Wish
from gristmill.settings import ProcessSettings


def main() -> int:
    """Keep a server until SIGTERM; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m gristmill.local.daemon", description=__doc__)
    parser.add_argument("--wish", type=Wish.from_json, required=True, help="what is wanted, as JSON")
    parser.add_argument("--lock", type=int, required=True, help="descriptor that holds the lock of the run folder")
    options = parser.parse_args()
    settings = ProcessSettings.read()
    log_lines.begin("up", settings)
    os.set_inheritable(options.lock, False)
    return Service(options.wish, settings=settings, tell=tell).run(options.lock)


def tell(event: Mapping[str, Any]) -> None:
    """Say one line to who started this, and nothing more ever: the pipe, or the terminal, is given back."""
    os.write(1, json.dumps(event).encode() + b"\n")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
