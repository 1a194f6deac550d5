"""A Redis server on a unix socket of this machine, spoken to without a library.

redis-py imports its asyncio and cluster clients, and OpenTelemetry where that is installed: a quarter of a second of
processor time in each process of a job that may last half a second. The server of the one-machine mode is ours, on a
socket that only we may open: no password, no TLS, no cluster, no redirection. What is left is this.

`Client` answers as redis-py's client does with `decode_responses` and the second protocol, for the commands that the
ledger uses. It is safe to share between threads: each call takes a connection of its own.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

#: Bytes read at once.
_CHUNK: Final = 65536

#: A line that is longer than this many bytes is none of the protocol's.
_LONGEST_LINE: Final = 65536

#: An answer that nests deeper is none of ours.
_DEEPEST: Final = 16


class Refused(Exception):
    """The server answered with an error, in its own words."""


class Connection:
    """One connection: commands and answers in turn."""

    def __init__(self, path: str, database: int, timeout: float) -> None:
        """Connect.

        Raises:
            OSError: nobody answers there.
            Refused: there is no such database.

        """
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._pending = b""
        self._at = 0
        try:
            self._socket.settimeout(timeout)
            self._socket.connect(path)
            if database:
                self.ask("SELECT", database)
        except BaseException:
            self.close()
            raise

    def ask(self, *words: Any) -> Any:
        """Send a command; return its answer.

        Raises:
            OSError: the server has gone, or does not answer in time.
            Refused: it answered with an error.
            ValueError: what it answered is none of the protocol's.

        """
        self._socket.sendall(_command(words))
        answer = self._answer(0)
        if isinstance(answer, Refused):
            raise answer
        return answer

    def finish(self) -> None:
        """Say nothing more: the server ends what it has us wait for. From any thread; `ask` then raises."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def __del__(self) -> None:
        """Close it with whoever forgot it: a ledger is used until its process, or its test, ends."""
        self._socket.close()

    def _answer(self, depth: int) -> Any:
        line = self._line()
        kind, rest = line[:1], line[1:]
        if kind == b"$":
            return self._bulk(int(rest))
        if kind == b"*" and depth < _DEEPEST:
            count = int(rest)
            return None if count < 0 else [self._answer(depth + 1) for _ in range(count)]
        if kind == b":":
            return int(rest)
        if kind == b"+":
            return rest.decode()
        if kind == b"-":
            return Refused(rest.decode("utf-8", "replace"))
        raise ValueError(f"an answer that begins with {line[:20]!r}")

    def _bulk(self, size: int) -> str | None:
        if size < 0:
            return None
        data = self._exactly(size + 2)
        if data[-2:] != b"\r\n":
            raise ValueError("a text without its end")
        return data[:-2].decode()

    def _line(self) -> bytes:
        while (end := self._pending.find(b"\r\n", self._at)) < 0:
            if len(self._pending) - self._at > _LONGEST_LINE:
                raise ValueError("a line without an end")
            self._more()
        line, self._at = self._pending[self._at : end], end + 2
        return line

    def _exactly(self, size: int) -> bytes:
        while (missing := size - (len(self._pending) - self._at)) > 0:
            self._more(missing)
        data = self._pending[self._at : self._at + size]
        self._at += size
        return data

    def _more(self, wanted: int = 0) -> None:
        pieces, got = [self._pending[self._at :]], 0
        while not got or got < wanted:
            data = self._socket.recv(max(_CHUNK, min(wanted - got, 1 << 20)))
            if not data:
                raise ConnectionResetError("the server closed the connection")
            pieces.append(data)
            got += len(data)
        self._pending, self._at = b"".join(pieces), 0


class Client:
    """The commands that the ledger uses."""

    def __init__(self, url: str, timeout: float) -> None:
        """Take unix:///path.sock?db=0 and the seconds that one answer may take; nothing is connected yet.

        Raises:
            ValueError: the address has options that this does not know.

        """
        self._path, self._database = address(url)
        self._timeout = timeout
        self._free: list[Connection] = []

    def close(self) -> None:
        """Close what is free; what is in use is closed when it comes back."""
        free, self._free = self._free, []
        for connection in free:
            connection.close()

    def ask(self, *words: Any) -> Any:
        """Send a command on a free connection; return its answer. See `Connection.ask`."""
        with self._connection() as connection:
            return connection.ask(*words)

    def info(self, section: str) -> dict[str, str]:
        """Return a section of INFO."""
        lines = (line.partition(":") for line in self.ask("INFO", section).splitlines() if not line.startswith("#"))
        return {name: value for name, colon, value in lines if colon}

    def evalsha(self, digest: str, keys: int, *words: Any) -> Any:
        """Call a script by its digest."""
        return self.ask("EVALSHA", digest, keys, *words)

    def eval(self, source: str, keys: int, *words: Any) -> Any:
        """Call a script."""
        return self.ask("EVAL", source, keys, *words)

    def exists(self, *names: str) -> int:
        """Return how many of these keys there are."""
        return int(self.ask("EXISTS", *names))

    def hgetall(self, name: str) -> dict[str, str]:
        """Return a hash."""
        return _pairs(self.ask("HGETALL", name))

    def hdel(self, name: str, *fields: str) -> int:
        """Delete fields of a hash."""
        return int(self.ask("HDEL", name, *fields))

    def hscan(self, name: str, cursor: int, *, count: int) -> tuple[int, dict[str, str]]:
        """Return the next cursor and some of a hash."""
        following, found = self.ask("HSCAN", name, cursor, "COUNT", count)
        return int(following), _pairs(found)

    def brpop(self, names: Sequence[str], *, timeout: float) -> tuple[str, str] | None:
        """Wait for an element of one of these lists; return list and element, or None when there was none in time."""
        found = self.ask("BRPOP", *names, timeout)
        return None if found is None else (found[0], found[1])

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        """Lend a connection; one on which something went wrong does not come back, nor do those of the same age."""
        known = self._free
        try:
            connection = known.pop()
        except IndexError:
            connection = Connection(self._path, self._database, self._timeout)
        try:
            yield connection
        except Refused:
            self._give_back(known, connection)
            raise
        except BaseException:
            connection.close()
            self.close()
            raise
        self._give_back(known, connection)

    def _give_back(self, known: list[Connection], connection: Connection) -> None:
        if known is self._free:
            known.append(connection)
        else:
            connection.close()


def speaks(url: str) -> bool:
    """Whether a `Client` can use that address: a unix socket, and no options but the database."""
    try:
        address(url)
    except ValueError:
        return False
    return True


def address(url: str) -> tuple[str, int]:
    """Return path and database of unix:///path.sock?db=0.

    Raises:
        ValueError: it is another kind of address, or has other options.

    """
    parts = urlsplit(url)
    options = parse_qs(parts.query, strict_parsing=bool(parts.query))
    database = options.pop("db", ["0"])[0]
    if parts.scheme != "unix" or parts.netloc or options or not database.isdecimal():
        raise ValueError(f"{parts.scheme}://: not a unix socket, or with options")
    return unquote(parts.path), int(database)


def _command(words: Sequence[Any]) -> bytes:
    pieces = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        pieces.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(pieces)


def _pairs(found: list[Any]) -> dict[str, str]:
    return dict(zip(found[::2], found[1::2], strict=True))
