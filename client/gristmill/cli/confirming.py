"""Asks before something is deleted."""

from __future__ import annotations

import sys

from gristmill.errors import Mistake


def confirmed(what: str, *, yes: bool) -> bool:
    """Return whether the user wants something deleted.

    Args:
        what: what would be deleted, as "endpoint blue and its deployments".
        yes: whether `--yes` was given.

    Raises:
        Mistake: there is nobody to ask.

    """
    if yes:
        return True
    if not sys.stdin.isatty():
        raise Mistake(f"{what}: nobody can be asked whether it is to be deleted (no terminal): give --yes")
    sys.stderr.write(f"Delete {what}? (y/n): ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() in {"y", "yes"}:
        return True
    sys.stderr.write("nothing was deleted\n")
    return False
