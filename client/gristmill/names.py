"""Names of jobs: readable, unique, and safe in a path, a key and a shell."""

from __future__ import annotations

import os
import re
import time
from typing import Final

from gristmill.errors import Mistake

_VALID: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,99}")

#: What the time and the random end leave of 100 characters.
_STEM_LENGTH: Final = 77


def check_name(name: str) -> str:
    """Return a job's name that a user gave.

    Raises:
        Mistake: the name cannot be a folder's name everywhere.

    """
    if not _VALID.fullmatch(name):
        raise Mistake(f"job name {name!r}: give 1 to 100 letters, digits, '-', '_' or '.', the first not a '.'")
    return name


def make_name(stem: str) -> str:
    """Return a new name: what is run, the time (UTC), and six random hex digits."""
    clean = re.sub(r"[^A-Za-z0-9_.-]+", "-", stem).strip("-._")[:_STEM_LENGTH] or "job"
    return f"{clean}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{os.urandom(3).hex()}"
