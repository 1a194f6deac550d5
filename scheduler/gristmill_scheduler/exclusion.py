"""Which stores keep create-if-absent, without which no two schedulers may lead jobs there: each is asked once.

Who leads a job is in Redis, but a scheduler that slept through its lead can still write for a moment. What it writes is
refused by the store where something is there already, unless the store is one that takes the condition and ignores it.
"""

from __future__ import annotations

import threading
import uuid

from gristmill.errors import Mistake
from gristmill_storage.files import excludes, is_local, open_store
from gristmill_storage.store import without_secrets


class Exclusion:
    """Asks each store once, for any number of threads."""

    def __init__(self, *known: str) -> None:
        """Take addresses whose stores are known to keep it."""
        self._kept = {_root(url) for url in known}
        self._lock = threading.Lock()

    def check(self, folder: str) -> None:
        """Refuse a job's output folder in a store that ignores conditions.

        Raises:
            Mistake: it does.
            StorageFailed: nothing can be written there.

        """
        if is_local(folder) or _root(folder) in self._kept:
            return
        if not excludes(open_store(folder), f".gristmill/exclusion-{uuid.uuid4().hex}"):
            raise Mistake(
                f"output: {without_secrets(folder)}: its store ignores create-if-absent (If-None-Match), so several "
                "schedulers could undo each other's work: refusing it; give an output in a store with conditional "
                "writes, or run the job by itself with gristmill run"
            )
        with self._lock:
            self._kept = {*self._kept, _root(folder)}


def _root(url: str) -> str:
    """Return an address up to its bucket."""
    kind, mark, rest = url.partition("://")
    return f"{kind}{mark}{rest.partition('/')[0]}"
