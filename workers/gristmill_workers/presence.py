"""What a node tells the ledger of itself, so that users and the scheduler see who is there and busy with what.

Nothing depends on it but what is shown and said: work is placed by the queue and held by leases. So a sign of life that
cannot be given is passed over, and a node neither waits nor ends for it.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import gristmill
from gristmill import versions
from gristmill.errors import GristmillError
from gristmill.machine import address_towards
from gristmill_storage.ledger import Ledger
from gristmill_workers.machine_load import MachineLoad

#: Seconds between two signs of life.
BEAT_SECONDS: Final = 5.0

#: Seconds that one counts.
LIFE_SECONDS: Final = 15.0

#: Seconds that one answer of the server may take; there is no second try.
ANSWER_SECONDS: Final = 2.0

log = logging.getLogger("gristmill.node")


class Presence:
    """Signs of life of this process as a node, in a thread of its own."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        node: str,
        compute: str,
        slots: int,
        running: Callable[[], list[str | None]],
        resting: Callable[[], list[dict[str, Any]]] = list,
        redis_url: str = "",
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        """Take who this is.

        Args:
            ledger: told of it; one whose calls end soon.
            node: this machine's name.
            compute: the compute that is served.
            slots: tasks at once.
            running: returns the job that each slot works for, None for a free one.
            resting: returns which scorers are kept, by the deployments that they are of.
            redis_url: the server, by whose side of the network this machine's address is told; "": none is.
            beat_seconds: seconds between two signs of life.

        """
        self.name = f"{node}@{compute}/{os.getpid()}"
        self._ledger = ledger
        self._running = running
        self._resting = resting
        self._load = MachineLoad()
        self._beat_seconds = beat_seconds
        self._redis_url = redis_url
        self._address = ""
        self._refusal: dict[str, str] = {}
        self._refused_until = 0.0
        self._news: dict[str, Any] = {
            "compute": compute,
            "slots": slots,
            "host": node,
            "pid": os.getpid(),
            "version": gristmill.__version__,
            "protocol": versions.PROTOCOL,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        self._changed, self._leaving = threading.Event(), threading.Event()
        self._beating = threading.Lock()
        self._told = True
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        """Give the first sign of life, and then one after the other; does nothing where that was begun before."""
        if self._thread is None and not self._leaving.is_set():
            self._thread = threading.Thread(target=self._beat, name="presence", daemon=True)
            self._thread.start()

    def changed(self) -> None:
        """Tell soon that another job runs, or one less."""
        self._changed.set()

    def refuses(self, reason: str, *, seconds: float, job: str = "") -> None:
        """Tell for so many seconds that the node could not do what it was asked, for one job ("": for all)."""
        self._refusal = {"refuses": reason, **({"refuses_job": job} if job else {})}
        self._refused_until = time.monotonic() + seconds
        self._changed.set()

    def leave(self) -> None:
        """Tell that the node is gone; returns within a few seconds, told or not."""
        self._leaving.set()
        self._changed.set()
        # One that is on its way must not arrive after the word that the node is gone.
        if self._thread is not None and self._beating.acquire(timeout=2 * ANSWER_SECONDS):
            self._try(lambda: self._ledger.leave_node(self.name))
            self._beating.release()

    def _beat(self) -> None:
        while not self._leaving.is_set():
            self._changed.clear()
            with self._beating:
                if not self._leaving.is_set():
                    self._try(lambda: self._ledger.see_node(self.name, self._info(), LIFE_SECONDS))
            self._changed.wait(self._beat_seconds)

    def _info(self) -> Mapping[str, Any]:
        if not (self._address and self._told):
            # Looked for again after the server was away: the way to it may be another one.
            self._address = address_towards(self._redis_url)
        found = {**self._news, "address": self._address, "running": self._running(), "machine": self._load.document()}
        if resting := self._resting():
            found["resting"] = resting
        return {**found, **self._refusal} if time.monotonic() < self._refused_until else found

    def _try(self, tell: Callable[[], None]) -> None:
        """Tell the ledger something; a fault is logged when it begins, and when it ends."""
        try:
            tell()
        except GristmillError as error:
            if self._told:
                log.warning("the node cannot be seen by others: %s", error)
            self._told = False
        except Exception:
            log.exception("the node cannot be seen by others")
            self._told = False
        else:
            if not self._told:
                log.info("the node can be seen by others again")
            self._told = True
