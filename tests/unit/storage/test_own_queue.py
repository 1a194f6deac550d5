"""The queue without Celery: its messages are Celery's, and what takes them keeps to what a node may be asked."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from gristmill.errors import LedgerFailed
from gristmill_storage.ledger.wire import Client
from gristmill_storage.messages import AGGREGATE, KEY_PREFIX, RUN_INSTANCE, Message, NodeTasks, queue_name
from gristmill_storage.own_queue import OwnQueue, _Intake
from gristmill_storage.queue import Queue, _application
from gristmill_storage.queues import open_queue

MESSAGE = Message(job="job-1", folder="/data/ü", slot=2)
KEY = KEY_PREFIX + queue_name("here")


class Node:
    """What a node does with messages, in the test's hands."""

    def __init__(self) -> None:
        self.got: list[Message] = []
        self.refused: list[str] = []
        self.changed = threading.Condition()
        self.hold = threading.Event()
        self.hold.set()
        self.ready = 0

    def tasks(self) -> NodeTasks:
        return NodeTasks(
            run_instance=self._take,
            aggregate=self._take,
            refuse=self.refused.append,
            drain=lambda: None,
            ready=self._is_ready,
            free=lambda: True,
            stalled=lambda: None,
        )

    def _take(self, message: Message) -> None:
        with self.changed:
            self.got.append(message)
            self.changed.notify_all()
        assert self.hold.wait(30)

    def _is_ready(self) -> None:
        self.ready += 1

    def wait_for(self, count: int) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.got) >= count, 30)


@pytest.fixture
def node() -> Node:
    return Node()


@pytest.fixture
def intake(redis_url: str, node: Node) -> _Intake:
    return _Intake(redis_url, KEY, 1, node.tasks())


@pytest.mark.parametrize(
    ("send", "task"), [(OwnQueue.send_instance, RUN_INSTANCE), (OwnQueue.send_aggregate, AGGREGATE)]
)
def test_a_celery_node_reads_what_is_sent(redis_url: str, send: Callable[..., None], task: str) -> None:
    send(OwnQueue(redis_url), "here", MESSAGE)

    with _application(redis_url).connection_for_read() as connection:
        message = connection.default_channel.basic_get(queue_name("here"), no_ack=True)
        arguments, keywords, _ = message.payload
        assert message.headers["task"] == task
        assert (arguments, Message.from_json(keywords)) == ([], MESSAGE)


def test_what_celery_sends_is_taken(redis_url: str, node: Node, intake: _Intake) -> None:
    queue = Queue(redis_url)
    queue.send_instance("here", MESSAGE)
    queue.close()
    intake.start()
    node.wait_for(1)
    intake.end()

    assert node.got == [MESSAGE]
    assert node.ready == 1


def test_both_see_the_same_messages_waiting(redis_url: str) -> None:
    own, celery = OwnQueue(redis_url), Queue(redis_url)
    own.send_instance("here", MESSAGE)
    celery.send_aggregate("here", MESSAGE)
    celery.send_instance("here", Message(job="other", folder="/x"))

    assert own.waiting("here", "job-1") == celery.waiting("here", "job-1")
    assert {task for task, _ in own.waiting("here", "job-1")} == {RUN_INSTANCE, AGGREGATE}
    own.remove("here")
    assert own.waiting("here", "job-1") == celery.waiting("here", "job-1") == []
    own.close()
    celery.close()


def test_a_message_is_taken_when_there_is_a_place_and_not_before(redis_url: str, node: Node, intake: _Intake) -> None:
    queue = OwnQueue(redis_url)
    node.hold.clear()
    intake.start()
    for _ in range(2):
        queue.send_instance("here", MESSAGE)
    node.wait_for(1)
    assert len(queue.waiting("here", "job-1")) == 1
    node.hold.set()
    node.wait_for(2)
    intake.end()


def test_who_leaves_waits_for_what_runs_and_takes_nothing_more(redis_url: str, node: Node, intake: _Intake) -> None:
    queue = OwnQueue(redis_url)
    node.hold.clear()
    intake.start()
    queue.send_instance("here", MESSAGE)
    node.wait_for(1)
    leaving = threading.Thread(target=intake.end)
    leaving.start()
    queue.send_instance("here", MESSAGE)
    assert leaving.is_alive()
    node.hold.set()
    leaving.join(30)

    assert (leaving.is_alive(), len(node.got)) == (False, 1)
    assert len(queue.waiting("here", "job-1")) == 1


@pytest.mark.parametrize(
    "nonsense", ["", "{", "[]", '{"headers": {"task": "gristmill.aggregate"}, "body": "!"}', "\udcff", "[" * 5000]
)
def test_nonsense_is_dropped_and_what_follows_is_taken(
    redis_url: str, node: Node, intake: _Intake, nonsense: str
) -> None:
    client = Client(redis_url, 5)
    client.ask("LPUSH", KEY, nonsense.encode("utf-8", "surrogateescape"))
    OwnQueue(redis_url).send_instance("here", MESSAGE)
    intake.start()
    node.wait_for(1)
    intake.end()

    assert node.got == [MESSAGE]


def test_tasks_and_messages_of_another_kind_are_not_run(redis_url: str, node: Node, intake: _Intake) -> None:
    queue, client = OwnQueue(redis_url), Client(redis_url, 5)
    queue.send_instance("here", MESSAGE)
    sent = json.loads(client.ask("LINDEX", KEY, 0))
    sent["headers"]["task"] = "os.system"
    client.ask("DEL", KEY)
    client.ask("LPUSH", KEY, json.dumps(sent))
    queue.send_instance("here", MESSAGE)
    intake.start()
    node.wait_for(1)
    intake.end()

    assert node.got == [MESSAGE]


def test_a_lost_connection_is_made_anew(redis_url: str, node: Node, intake: _Intake) -> None:
    queue, client = OwnQueue(redis_url), Client(redis_url, 5)
    intake.start()
    for number in range(1, 4):
        queue.send_instance("here", MESSAGE)
        node.wait_for(number)
        client.ask("CLIENT", "KILL", "TYPE", "normal")
    intake.end()

    assert node.ready == 1


def test_a_server_that_is_away_is_told_in_time(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gristmill_storage.own_queue._TRIES", (0.0,))
    queue = open_queue(f"unix://{tmp_path}/nothing?db=0")

    assert isinstance(queue, OwnQueue)
    for call in (lambda: queue.send_instance("here", MESSAGE), lambda: queue.waiting("here", "x")):
        with pytest.raises(LedgerFailed, match="the queue of compute here cannot be reached"):
            call()
    with pytest.raises(LedgerFailed, match="cannot be removed"):
        queue.remove("here")


SERVING = """
import sys
from gristmill_storage.messages import NodeTasks
from gristmill_storage.queues import serve
def say(word):
    print(word, flush=True)
serve(sys.argv[1], compute="here", slots=2, name="n", owned=True, tasks=NodeTasks(
    run_instance=lambda message: say(message.job), aggregate=say, refuse=say, drain=lambda: say("drain"),
    ready=lambda: say("ready"), free=lambda: True, stalled=lambda: say("stalled")))
say(sorted({name.partition(".")[0] for name in sys.modules} & {"celery", "kombu", "redis", "opentelemetry"}))
"""


def test_a_process_serves_until_it_is_told_to_leave_and_needs_no_library_for_it(redis_url: str) -> None:
    command = [sys.executable, "-c", SERVING, redis_url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        OwnQueue(redis_url).send_instance("here", MESSAGE)
        assert process.stdout.readline() == "job-1\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "drain\n[]\n"
    assert process.returncode == 0
