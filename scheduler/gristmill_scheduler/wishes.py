"""What the user wants of a job that runs: files in its folder, which whoever leads the job looks at again and again.

A file outlives everyone: it reaches a coordinator that is in another process, on another machine, or begins its lead
only after the wish was made.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import Any, Final

from gristmill.errors import Corrupt, NotFound, StorageFailed
from gristmill_storage import job_folder
from gristmill_storage.documents import read_document
from gristmill_storage.files import Store, is_local

#: Seconds between two looks at a store that is no local disk.
LOOK_SECONDS: Final = 1.0

log = logging.getLogger("gristmill.scheduler")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is wanted now."""

    cancel: bool = False
    #: With `cancel`: what is finished is published.
    keep_partial: bool = False
    #: With `cancel`: who asked, for messages; "" for the job's own process.
    by: str = ""
    paused: bool = False


class Wishes:
    """The wishes in one job's folder."""

    def __init__(self, folder: Store) -> None:
        """Take the job's folder."""
        self._folder = folder
        self._pause_seconds = 0.0 if is_local(folder.url) else LOOK_SECONDS
        self._looked = float("-inf")
        self._known = Wish()

    def look(self) -> Wish:
        """Return what is wanted; elsewhere than on local disk, as it was at most a second ago.

        A store that cannot be read now has no new wishes: what needs it more says so.
        """
        now = time.monotonic()
        if now - self._looked >= self._pause_seconds:
            self._looked = now
            try:
                self._known = self._read()
            except StorageFailed as error:
                log.warning("the wishes in %s cannot be read: %s", self._folder.url, error)
        return self._known

    def cancel(self, *, keep_partial: bool, by: str) -> None:
        """Wish for the job's end."""
        document = {"keep_partial": keep_partial, "by": by}
        self._folder.replace(job_folder.WISH_CANCEL, json.dumps(document).encode())
        self._looked = float("-inf")

    def pause(self, *, paused: bool) -> None:
        """Wish that nothing new is begun, or that it goes on."""
        if paused:
            self._folder.replace(job_folder.WISH_PAUSE, b"{}")
        else:
            self._folder.delete(job_folder.WISH_PAUSE)
        self._looked = float("-inf")

    def clear(self) -> None:
        """Forget every wish: the job begins anew."""
        self._folder.delete(job_folder.WISH_CANCEL)
        self._folder.delete(job_folder.WISH_PAUSE)
        self._looked = float("-inf")

    def _read(self) -> Wish:
        cancel = _document(self._folder, job_folder.WISH_CANCEL)
        paused = self._folder.exists(job_folder.WISH_PAUSE)
        if cancel is None:
            return Wish(paused=paused)
        keep_partial, by = bool(cancel.get("keep_partial")), str(cancel.get("by") or "")
        return Wish(cancel=True, keep_partial=keep_partial, by=by, paused=paused)


def _document(folder: Store, path: str) -> dict[str, Any] | None:
    """Return a wish's content; that of a file which cannot be read is empty, for the wish is there all the same."""
    try:
        return read_document(folder, path)
    except NotFound:
        return None
    except Corrupt:
        return {}
