"""Several hosts for real: namespaces with names and addresses of their own, a job across them, and one cut off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import lans
import pytest
from clusters import wait_until
from fleets import Fleet
from lans import Lan

from gristmill_storage.server import find_binary
from serving import PYTHON, Serving

LONG = pytest.mark.skipif("LONG_TESTS" not in os.environ, reason="takes long: make test-long")

NODES = {"rome": 11, "oslo": 12, "bern": 13}
PASSWORD = "only-in-this-test"
LEASE_SECONDS = 2

#: Asks over HTTP where it runs: a request a line, an answer a line.
ASKER = """
import json, sys, httpx
for line in sys.stdin:
    method, url, options = json.loads(line)
    answer = httpx.request(method, url, timeout=60, trust_env=False, **options)
    print(json.dumps([answer.status_code, answer.text]), flush=True)
"""


class Remote(Serving):
    """A server on a host of its own, asked from another one."""

    def __init__(self, asker: subprocess.Popen[str], *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._asker = asker

    def request(self, method: str, path: str, *, token: str | None = None, **options: Any) -> httpx.Response:
        bearer = self.token if token is None else token
        headers = {"authorization": f"Bearer {bearer}", **(options.pop("headers", None) or {})}
        assert self._asker.stdin is not None
        assert self._asker.stdout is not None
        self._asker.stdin.write(json.dumps([method, f"{self.url}{path}", {"headers": headers, **options}]) + "\n")
        self._asker.stdin.flush()
        status, text = json.loads(self._asker.stdout.readline())
        return httpx.Response(status, text=text, request=httpx.Request(method, f"{self.url}{path}"))


class Hosts(Fleet):
    """`head` with Redis and the server, three that score, and `desk`, where somebody sits."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.lan = Lan(stack)
        for name, number in {"head": 1, "desk": 2, **NODES}.items():
            self.lan.join(name, number)
        self._stack = stack
        url = self._start_redis(folder)
        asker = self._start("desk", [sys.executable, "-c", ASKER], stdout=subprocess.PIPE, text=True)
        serving = Remote(
            asker,
            url,
            folder,
            arguments=["--host", self.lan.address("head"), "--allow-root", folder],
            environment={"GRISTMILL_LEASE_SECONDS": str(LEASE_SECONDS)},
            python=self.lan.at("head", PYTHON),
        )
        super().__init__(serving, folder)
        stack.enter_context(serving)
        for name in NODES:
            # Its name is that of the machine.
            self.node(name, python=self.lan.at(name, PYTHON), GRISTMILL_NODE_NAME="")
        self.deploy()

    def _start_redis(self, folder: Path) -> str:
        """Start Redis on its host's address alone, with a password; return its URL."""
        address, log = self.lan.address("head"), folder / "redis.log"
        options = f"bind {address}\nrequirepass {PASSWORD}\nappendonly yes\ndir {folder}\nsave ''\nlogfile {log}\n"
        redis = self._start("head", [str(find_binary()), "-"])
        assert redis.stdin is not None
        redis.stdin.write(options.encode())
        redis.stdin.close()
        wait_until(lambda: log.exists() and "Ready to accept connections" in log.read_text())
        return f"redis://:{PASSWORD}@{address}:6379/0"

    def _start(self, host: str, command: list[str], **options: Any) -> subprocess.Popen[Any]:
        process = subprocess.Popen(self.lan.at(host, command), stdin=subprocess.PIPE, **options)

        def end() -> None:
            process.terminate()
            process.wait(20)
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()

        self._stack.callback(end)
        return process

    def type(self, *words: str) -> str:
        """Type a command at the desk, and return what it prints."""
        server = {"GRISTMILL_URL": self.serving.url, "GRISTMILL_TOKEN": self.serving.token}
        command = self.lan.at("desk", [sys.executable, "-P", "-m", "gristmill", *words])
        environment = {**os.environ, **server}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    if reason := lans.unavailable():
        pytest.skip(reason)
    with ExitStack() as stack:
        yield Hosts(tmp_path_factory.mktemp("hosts"), stack)


def test_a_job_is_shared_by_three_hosts_and_the_status_shows_each_with_its_address(hosts: Hosts) -> None:
    hosts.hold.touch()
    hosts.invoke("shared", 3000, instances=3)
    wait_until(lambda: min(hosts.scored("shared").get(name, 0) for name in NODES) > 0)
    hosts.serving.until("/status", lambda it: [each["running"] for each in it["nodes"]] == [["shared"]] * len(NODES))
    table, document = hosts.type("status"), json.loads(hosts.type("status", "-o", "json"))
    hosts.hold.unlink()

    hosts.check("shared", 3000)

    told = {each["host"]: (each["address"], each["running"]) for each in document["nodes"]}
    assert told == {name: (hosts.lan.address(name), ["shared"]) for name in NODES}
    for name in NODES:
        (line,) = [line for line in table.splitlines() if line.startswith(f"{name} ")]
        assert line.split()[1] == hosts.lan.address(name)
        assert " shared " in line
    assert document["url"] == f"http://{hosts.lan.address('head')}:{hosts.serving.url.rpartition(':')[2]}"
    assert PASSWORD not in table + json.dumps(document)


def test_a_host_that_is_cut_off_in_the_midst_of_a_job_costs_no_row_and_adds_none(hosts: Hosts) -> None:
    hosts.hold.touch()
    hosts.invoke("parted", 2000, instances=3)
    wait_until(lambda: min(hosts.scored("parted").get(name, 0) for name in NODES) > 0)

    hosts.lan.pull("rome")
    # Its place goes to nobody, its work to the others, when its lease has run out.
    hosts.serving.until("/jobs/parted", lambda it: it["progress"] and it["progress"]["instances"] == 2)
    hosts.lan.plug("rome")
    hosts.hold.unlink()

    ended = hosts.check("parted", 2000)
    assert ended["summary"]["attempts"]["retried"] == {}


@LONG
@pytest.mark.timeout(600)
def test_a_host_that_was_cut_off_for_long_is_seen_no_more_and_works_again_when_it_is_back(hosts: Hosts) -> None:
    hosts.hold.touch()
    hosts.invoke("apart", 4000, instances=3)
    wait_until(lambda: min(hosts.scored("apart").get(name, 0) for name in NODES) > 0)

    hosts.lan.pull("oslo")
    hosts.serving.until("/status", lambda it: {each["host"] for each in it["nodes"]} == {"rome", "bern"})
    before = hosts.scored("apart")["oslo"]
    hosts.lan.plug("oslo")
    hosts.serving.until("/status", lambda it: {each["host"] for each in it["nodes"]} == set(NODES))
    # What it scored meanwhile was refused: it counts again from when it has joined anew.
    wait_until(lambda: hosts.scored("apart")["oslo"] > before)
    hosts.serving.until("/jobs/apart", lambda it: it["progress"]["instances"] == 3)
    hosts.hold.unlink()

    hosts.check("apart", 4000)
