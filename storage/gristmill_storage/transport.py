"""Celery's way to Redis, made deaf to nonsense.

As it comes, one message on the queue that is no message of Celery's (truncated, of a wrong type, not even JSON) ends
the worker that takes it, with exit code 0. Anybody who can write to the queue could end every node so, and a client of
another version by accident. Here such a message is dropped with a warning; what a message asks for is in the ledger
anyway, and the reconciler asks again.
"""

from __future__ import annotations

import contextlib
import logging
from typing import Any, Final

from kombu import transport
from kombu.transport import redis
from kombu.transport.virtual import Empty

from gristmill_storage.bell import BELL

#: Characters of a dropped message that the warning shows.
_SHOWN: Final = 200

log = logging.getLogger("gristmill.node")


class Channel(redis.Channel):
    """A channel that passes over what is no JSON."""

    def _brpop_read(self, **options: Any) -> Any:
        try:
            return super()._brpop_read(**options)  # type: ignore[no-untyped-call]
        except (Empty, *self.connection.faults_of_the_connection):
            raise
        except Exception as error:
            # JSON that is none, or too deep, or with hooks of kombu's that fail. It can be anything: it is not shown.
            log.warning("dropped a message that cannot be read: %s", type(error).__name__)
            raise Empty from error


class Transport(redis.Transport):
    """A transport that passes over messages which whoever takes them cannot bear."""

    Channel = Channel

    def register_with_event_loop(self, connection: Any, loop: Any) -> None:
        """Have a node's loop listen to this connection, and to the bell; called anew for each connection."""
        super().register_with_event_loop(connection, loop)  # type: ignore[no-untyped-call]
        BELL.hang(loop)

    def _deliver(self, message: Any, queue: str) -> None:
        try:
            super()._deliver(message, queue)  # type: ignore[no-untyped-call]
        except self.faults_of_the_connection:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a hostile message sets off
            log.warning("dropped a message of queue %s: %s: %.*s", queue, type(error).__name__, _SHOWN, error)
            self._forget(message)

    @property
    def faults_of_the_connection(self) -> tuple[type[Exception], ...]:
        """Return what the server or the way to it is to blame for; kombu counts KeyError among that."""
        faults = (*self.connection_errors, *self.channel_errors)
        return tuple(kind for kind in faults if not issubclass(kind, (LookupError, TypeError, ValueError)))

    def _forget(self, message: Any) -> None:
        """Take a message that was noted as delivered out of the books: else it would come again, and hold a place."""
        with contextlib.suppress(TypeError, KeyError, AttributeError):
            tag = message["properties"]["delivery_tag"]
            for channel in self.channels:
                channel.basic_reject(tag, requeue=False)


def install() -> None:
    """Have this process's Celery use the transport for redis:// and rediss:// addresses."""
    name = f"{__name__}:{Transport.__qualname__}"
    transport.TRANSPORT_ALIASES.update({"redis": name, "rediss": name})
