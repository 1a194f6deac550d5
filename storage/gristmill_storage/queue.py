"""The queue: how long work reaches nodes. The only module that knows Celery.

Two tasks exist, `run_instance` and `aggregate`; both are wake-up calls whose truth is in the ledger and in the job's
folder, so a message may be lost, doubled or late without harm. Each compute has one static queue; its length is the
number of instances that nobody has taken yet, which is what an autoscaler reads.

Settings that matter, each for a measured reason:
    acks early, no result backend   the ledger knows what is done; the reconciler sends again what was lost
    worker_disable_prefetch         a node takes a message only when it has a free slot: none waits behind a busy one
    a pool of our own               it wakes the consumer when a slot becomes free, which else looks once a second
    remote control stays on         with it, gossip and heartbeat all off a worker stalls for ever after Redis restarts
    mingle is off                   it waits a second for answers at every start
    broker_connection_max_retries   None: a node outlives any absence of its broker
    socket timeouts, health checks  a half-open connection is noticed
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

from celery import Celery, signals
from celery.concurrency.thread import TaskPool
from kombu.exceptions import OperationalError

from gristmill.errors import LedgerFailed
from gristmill_storage import transport
from gristmill_storage.bell import BELL
from gristmill_storage.intake import Intake
from gristmill_storage.message_spans import sending
from gristmill_storage.messages import (
    AGGREGATE,
    KEY_PREFIX,
    LOOKED_THROUGH,
    RUN_INSTANCE,
    Message,
    NodeTasks,
    queue_name,
    read,
    work_on,
)

_SETTINGS: Final[dict[str, Any]] = {
    "accept_content": ["json"],
    "broker_connection_max_retries": None,
    "broker_connection_retry_on_startup": True,
    "broker_transport_options": {
        "global_keyprefix": KEY_PREFIX,
        "socket_timeout": 30,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
        "health_check_interval": 10,
    },
    "enable_utc": True,
    "result_serializer": "json",
    "task_acks_late": False,
    "task_create_missing_queues": True,
    "task_ignore_result": True,
    "task_serializer": "json",
    "worker_cancel_long_running_tasks_on_connection_loss": False,
    "worker_disable_prefetch": True,
    "worker_enable_remote_control": True,
    "worker_hijack_root_logger": False,
    "worker_prefetch_multiplier": 1,
    "worker_redirect_stdouts": False,
    "worker_send_task_events": False,
}

#: How the sending side connects: kombu's own two seconds between tries, then four, hold up whoever sends for longer
#: than the broker was away.
_TRIES: Final[dict[str, Any]] = {"max_retries": 3, "interval_start": 0.1, "interval_step": 0.2, "interval_max": 0.5}


def broker_url(url: str) -> str:
    """Return a Redis URL in the form that Celery's transport wants (unix:// becomes redis+socket://)."""
    if not url.startswith("unix://"):
        return url
    parts = urlsplit(url)
    database = parse_qs(parts.query).get("db", ["0"])[0]
    return f"redis+socket://{unquote(parts.path)}?virtual_host={database}"


def _application(url: str) -> Celery:
    application = Celery("gristmill", broker=broker_url(url), set_as_current=False)
    application.conf.update(_SETTINGS)
    return application


class Queue:
    """The sending side."""

    def __init__(self, url: str, *, timeout: float = 5.0) -> None:
        """Take the server's URL, and the seconds that one answer may take; nothing is connected before the first call.

        Each call raises `LedgerFailed` within a few seconds of a server that is away.
        """
        self._application = _application(url)
        self._application.conf.broker_transport_options = {
            **_SETTINGS["broker_transport_options"],
            "socket_timeout": timeout,
            **_TRIES,
        }
        connection = self._application.connection_for_write()
        #: What the broker's library raises as it is; kombu words only a part of it.
        self._faults: tuple[type[Exception], ...] = (
            OperationalError,
            OSError,
            *connection.connection_errors,
            *connection.channel_errors,
        )

    def send_instance(self, compute: str, message: Message) -> None:
        """Ask for one instance of a job on a compute."""
        self._send(RUN_INSTANCE, compute, message)

    def send_aggregate(self, compute: str, message: Message) -> None:
        """Ask for a job's parts to be merged."""
        self._send(AGGREGATE, compute, message)

    def _send(self, task: str, compute: str, message: Message) -> None:
        queue = queue_name(compute)
        with (
            self._wording(f"the queue of compute {compute} cannot be reached"),
            sending(message, queue) as sent,
        ):
            self._application.send_task(task, kwargs=sent.to_json(), queue=queue, ignore_result=True)

    def length(self, compute: str) -> int:
        """Return how many messages of a compute nobody has taken."""
        # Metrics ask for it at each scrape: to connect anew would take most of what a scrape takes.
        with (
            self._wording(f"the queue of compute {compute} cannot be reached"),
            self._application.pool.acquire(block=True) as connection,
        ):
            return int(connection.default_channel.client.llen(queue_name(compute)))

    def waiting(self, compute: str, job: str) -> list[tuple[str, Message]]:
        """Return the messages of a job that nobody has taken, each with its task; of a long queue, those taken next."""
        with (
            self._wording(f"the queue of compute {compute} cannot be reached"),
            self._application.connection_for_write() as connection,
        ):
            client = connection.default_channel.client
            # Kombu puts the prefix before the keys of those commands alone that it uses itself.
            prefix = "" if "LRANGE" in getattr(client, "PREFIXED_SIMPLE_COMMANDS", ()) else KEY_PREFIX
            raw = client.lrange(f"{prefix}{queue_name(compute)}", -LOOKED_THROUGH, -1)
        return [found for found in map(read, raw) if found is not None and found[1].job == job]

    def remove(self, compute: str) -> None:
        """Delete a compute's queue and what Celery noted about it: for computes that live as long as one job."""
        queue = queue_name(compute)
        with (
            self._wording(f"the queue of compute {compute} cannot be removed"),
            self._application.connection_for_write() as connection,
        ):
            channel = connection.default_channel
            channel.queue_delete(queue)
            channel.client.delete(queue, f"_kombu.binding.{queue}", f"_kombu.binding_permanent.{queue}")

    @contextmanager
    def _wording(self, what: str) -> Iterator[None]:
        """Turn what a broker that is away, slow or starting makes of a call into `LedgerFailed`."""
        try:
            yield
        except self._faults as error:
            raise LedgerFailed(f"{what}: {error}") from error

    def close(self) -> None:
        """Close the connections."""
        self._application.close()


class _Threads(TaskPool):  # type: ignore[misc]  # Celery tells no types
    """The threads pool, which says when a place is free: see `bell.py`."""

    def on_apply(self, *arguments: Any, **options: Any) -> Any:
        """Run a task; the bell rings when nothing of it is left."""
        result = super().on_apply(*arguments, **options)
        # Whatever became of it. Celery's own callback, which frees the place, comes before the future is done.
        result.f.add_done_callback(lambda _: BELL.ring())
        return result


def serve(url: str, *, compute: str, slots: int, name: str, tasks: NodeTasks) -> None:
    """Take tasks from a compute's queue until the process is told to leave (SIGTERM, SIGINT) and the last one ended.

    Each task runs in a thread of its own, at most `slots` at once: instances spend their time waiting for scorers,
    which are processes, and a thread costs neither a fork of a loaded process nor another interpreter.
    """
    transport.install()
    application = _application(url)
    _register(application, RUN_INSTANCE, tasks)
    _register(application, AGGREGATE, tasks)
    passage = _Passage(application, compute)
    intake = Intake(waiting=passage.length, free=tasks.free, stalled=lambda: _go_on(tasks, passage))
    _listen(tasks, intake)
    worker = application.Worker(
        pool=_Threads,
        concurrency=slots,
        queues=[queue_name(compute)],
        hostname=f"{name}@{compute}",
        without_mingle=True,
        without_gossip=True,
        loglevel="WARNING",
        quiet=True,
    )
    threading.Thread(target=intake.watch, name="intake", daemon=True).start()
    worker.start()


def _listen(tasks: NodeTasks, intake: Intake) -> None:
    """Pass on what Celery tells of itself."""
    signals.setup_logging.connect(lambda **_: None, weak=False)  # logging is the process's own business
    for signal in (signals.task_received, signals.task_unknown, signals.task_rejected):
        signal.connect(lambda **_: intake.took(), weak=False)

    def ready(**_: Any) -> None:
        intake.ready()
        tasks.ready()

    def leave(**_: Any) -> None:
        intake.close()
        tasks.drain()

    signals.worker_ready.connect(ready, weak=False)
    signals.worker_shutting_down.connect(leave, weak=False)


def _go_on(tasks: NodeTasks, passage: _Passage) -> None:
    tasks.stalled()
    passage.take()


class _Passage:
    """A way to a compute's queue past the consumer, on a connection of its own."""

    def __init__(self, application: Celery, compute: str) -> None:
        self._application = application
        self._queue = queue_name(compute)
        self._connection: Any = None

    def length(self) -> int:
        """Return how many messages wait.

        Raises:
            OSError: the server cannot be reached.

        """
        return int(self._try(lambda channel: channel.client.llen(self._queue)))

    def take(self) -> None:
        """Take one message, if there is one, and run its task in a thread of its own."""
        message = self._try(lambda channel: channel.basic_get(self._queue, no_ack=True))
        task = self._application.tasks.get(message.headers.get("task")) if message is not None else None
        if task is not None:
            _, document, _ = message.payload
            threading.Thread(target=task, kwargs=document, name=task.name).start()

    def _try(self, act: Callable[[Any], Any]) -> Any:
        """Do something with the channel; after a fault the next call has a new one."""
        try:
            if self._connection is None:
                self._connection = self._application.connection_for_read()
            return act(self._connection.default_channel)
        except Exception as error:
            connection, self._connection = self._connection, None
            if connection is not None:
                with contextlib.suppress(Exception):
                    connection.release()
            raise OSError(f"the queue cannot be reached: {error}") from error


def _register(application: Celery, name: str, tasks: NodeTasks) -> None:
    def body(**document: Any) -> None:
        work_on(name, document, tasks)

    application.task(body, name=name, ignore_result=True)
