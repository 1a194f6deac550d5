"""Which way a process has to the queue: by Celery, or past it where the server is ours alone.

Celery is imported when it is needed, and not before: it takes longer than many a job.
"""

from __future__ import annotations

from importlib import import_module

from gristmill_storage.ledger import wire
from gristmill_storage.messages import NodeTasks, Sender
from gristmill_storage.own_queue import OwnQueue
from gristmill_storage.own_queue import serve as serve_own


def open_queue(url: str) -> Sender:
    """Return the sending side at an address; nothing is connected yet."""
    if wire.speaks(url):
        return OwnQueue(url)
    queue: Sender = import_module("gristmill_storage.queue").Queue(url)
    return queue


def serve(url: str, *, compute: str, slots: int, name: str, tasks: NodeTasks, owned: bool) -> None:
    """Take tasks from a compute's queue until the process is told to leave and the last one ended.

    `owned`: the compute is that of who started this process, and nobody else looks at the node.
    """
    if owned and wire.speaks(url):
        serve_own(url, compute=compute, slots=slots, tasks=tasks)
    else:
        import_module("gristmill_storage.queue").serve(url, compute=compute, slots=slots, name=name, tasks=tasks)
