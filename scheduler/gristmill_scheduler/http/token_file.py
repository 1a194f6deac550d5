"""The first owner's token: made when there is none, and written where only this user reads it."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path

from gristmill.errors import Mistake, Unauthorized
from gristmill_scheduler.http.tokens import Grant, Tokens

#: What the token's bearer is called.
NAME = "owner"

log = logging.getLogger("gristmill.http")


def keep_token_file(path: Path, tokens: Tokens) -> None:
    """Make sure that a file holds an owner's token that works.

    One that this workspace does not take (it was made anew, or the token was deleted) is replaced.

    Raises:
        Mistake: the file cannot be read or written.

    """
    try:
        if _works(path, tokens):
            return
        _, token = tokens.make(Grant(name=NAME, roles=("owner",)), by=NAME)
        _write(path, token)
    except OSError as error:
        raise Mistake(f"--token-file {path}: cannot be read or written: {error}") from error
    log.info("made an owner's token: %s", path)


def _works(path: Path, tokens: Tokens) -> bool:
    try:
        tokens.check(path.read_text("ascii", "replace").strip())
    except FileNotFoundError:
        return False
    except Unauthorized:
        log.warning("%s: its token does not work here; another takes its place", path)
        return False
    return True


def _write(path: Path, token: str) -> None:
    # It appears whole: others wait for the file and read it at once. Temporary files have mode 600.
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(f"{token}\n")
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
