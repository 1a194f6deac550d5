"""The first thing that the command `gristmill` does: what a job needs is started before the rest is imported."""

from __future__ import annotations

import sys
from importlib import import_module

from gristmill.local import ahead
from gristmill.local.litter import Ignored

#: Whoever only asks for help needs nothing.
_HELP = frozenset({"-h", "--help"})


def main() -> int:
    """Run the command that was given; return the exit code."""
    words = sys.argv[1:]
    if words[:1] != ["run"] or len(words) == 1 or not _HELP.isdisjoint(words):
        return _command(words)
    ahead.begin()
    server = import_module("gristmill.local.early_server")
    server.begin()
    with Ignored():
        import_module("gristmill.cli.run")
    try:
        return _command(words)
    finally:
        ahead.dismiss()
        server.dismiss()


def _command(words: list[str]) -> int:
    with Ignored():
        command = import_module("gristmill.cli.main")
    code: int = command.main(words)
    return code
