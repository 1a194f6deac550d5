"""What is no message of ours on a node's queue: the node passes over it and takes the next one."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from gristmill_storage.queue import KEY_PREFIX, Message, Queue, queue_name

COMPUTE = "hostile"
LIST = f"{KEY_PREFIX}{queue_name(COMPUTE)}"


class Node:
    """A node of its own, and the list that its messages lie in."""

    def __init__(self, url: str, folder: Path) -> None:
        self.client = redis.Redis.from_url(url, decode_responses=False, protocol=2)
        queue = Queue(url)
        queue.send_instance("template", Message(job="nobody", folder="/nowhere"))
        queue.close()
        (text,) = self.client.lrange(f"{KEY_PREFIX}{queue_name('template')}", 0, -1)
        #: A message as Celery writes it, about a job that there is not.
        self.good: dict[str, Any] = json.loads(text)
        self.log = folder / "node.log"
        command = [sys.executable, "-m", "gristmill_workers", "--compute", COMPUTE, "--slots", "2"]
        environment = {**os.environ, "GRISTMILL_REDIS_URL": url, "GRISTMILL_NODE_NAME": "hostile"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stderr=log)

    def push(self, message: bytes) -> None:
        self.client.lpush(LIST, message)

    def takes_all(self, seconds: float = 30) -> bool:
        """Return whether everything in the list is taken within the time."""
        deadline = time.monotonic() + seconds
        while self.client.llen(LIST):
            if time.monotonic() > deadline or self.process.poll() is not None:
                return False
            time.sleep(0.01)
        return True

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        self.client.close()


@pytest.fixture(scope="module")
def node(redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    made = Node(redis_server, tmp_path_factory.mktemp("node"))
    yield made
    made.end()


def body(value: object) -> str:
    return base64.b64encode(value if isinstance(value, bytes) else json.dumps(value).encode()).decode()


def asked(**keywords: object) -> dict[str, object]:
    """Change what the message asks for."""
    return {"body": body([[], {"version": 1, "job": "x", "folder": "/nowhere"} | keywords, {}])}


#: Whole messages.
RAW: dict[str, bytes] = {
    "no JSON": b"{{{",
    "nothing": b"",
    "no UTF-8": b"\xff\xfe\x00",
    "a list": b"[]",
    "a number": b"5",
    "null": b"null",
    "a text": b'"x"',
    "an empty object": b"{}",
    "truncated": b'{"body": "W1tdLCB7',
    "deep": b"[" * 100_000,
    "a hook of kombu's that fails": b'{"__type__": "datetime", "__value__": 5}',
    "a hook of kombu's that is none": b'{"__type__": [], "__value__": {}}',
}

#: What stands in the place of a message's keys; None: the key is not there.
KEYS: dict[str, dict[str, object]] = {
    "no body": {"body": None},
    "no headers": {"headers": None},
    "headers of a wrong type": {"headers": 5},
    "no properties": {"properties": None},
    "properties of a wrong type": {"properties": 5},
    "body is no base64": {"body": "!!!"},
    "body is a number": {"body": 5},
    "body holds no JSON": {"body": body(b"{{{")},
    "body holds a number": {"body": body(5)},
    "body holds nothing": {"body": body([])},
    "positional arguments": {"body": body([[1, 2, 3], {}, {}])},
    "arguments of a wrong type": {"body": body([[], [1], {}])},
    "an object of Python's pickle": {
        "content-type": "application/x-python-serialize",
        "body": body(b"cos\nabort\n(tR."),
    },
    "YAML": {"content-type": "application/x-yaml", "body": body(b"!!python/object/apply:os.abort []")},
    "unknown content": {"content-type": "x/y"},
    "no content type": {"content-type": None},
    "unknown encoding": {"content-encoding": "rot13"},
    "a version to come": asked(version=99),
    "a version that is none": asked(version=True),
    "no version": asked(version=None),
    "a job of a wrong type": asked(job=[1]),
    "a job that leads out": asked(job="../../etc"),
    "a folder that is a file": asked(folder="/etc/passwd"),
    "a folder with NUL": asked(folder="/a\0b"),
    "a relative folder": asked(folder="../.."),
    "a folder of an unknown kind": asked(folder="gopher://x/y"),
    "a folder on a store that is not there": asked(folder="s3://no-such-bucket-of-ours/x"),
    "a huge job name": asked(job="x" * 5_000_000),
    "a slot of a wrong type": asked(slot="abc"),
    "no slot": asked(slot=None),
    "a negative slot": asked(slot=-1),
}

#: What stands in the place of a message's headers.
HEADERS: dict[str, dict[str, object]] = {
    "unknown task": {"task": "nope"},
    "task of a wrong type": {"task": [1]},
    "no task": {"task": None},
    "no id": {"id": None},
    "id of a wrong type": {"id": [1]},
    "due at no time": {"eta": "nonsense"},
    "due in a far future": {"eta": "2099-01-01T00:00:00"},
    "ends at no time": {"expires": "nonsense"},
    "ended long ago": {"expires": "1999-01-01T00:00:00"},
    "a time limit of a wrong type": {"timelimit": "x"},
    "compressed, and is not": {"compression": "zlib"},
    "another language": {"lang": "java"},
    "tries of a wrong type": {"retries": "x"},
    "a group and a chord": {"group": "g", "root_id": 5, "parent_id": []},
}


def changed(message: dict[str, Any], changes: dict[str, object]) -> dict[str, Any]:
    return {key: value for key, value in {**message, **changes}.items() if key not in changes or value is not None}


@pytest.mark.parametrize("case", [*RAW, *KEYS, *HEADERS])
def test_nonsense_on_the_queue_is_passed_over(node: Node, case: str) -> None:
    if case in RAW:
        message = RAW[case]
    elif case in KEYS:
        message = json.dumps(changed(node.good, KEYS[case])).encode()
    else:
        message = json.dumps({**node.good, "headers": changed(node.good["headers"], HEADERS[case])}).encode()
    node.push(message)
    node.push(json.dumps(node.good).encode())

    assert node.takes_all(), node.log.read_text()[-3000:]
    assert node.process.poll() is None


def test_a_list_that_is_none_and_a_flood_of_nonsense(node: Node) -> None:
    for n in range(500):
        node.push(list(RAW.values())[n % len(RAW)])
    node.push(json.dumps(node.good).encode())

    assert node.takes_all()
    assert node.process.poll() is None
