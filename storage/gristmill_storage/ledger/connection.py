"""The way to the Redis server: connects late, calls scripts by digest, waits out what passes, words what does not.

redis-py is imported when the first call is made, not before: its package imports its asyncio and cluster clients and,
where that is installed, all of OpenTelemetry, whichever of its modules is asked for. On a unix socket, where the
one-machine mode has its server, the ledger does without it (see `wire`).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import urlsplit

from gristmill.errors import LedgerFailed, MissingExtra
from gristmill_storage.ledger import wire
from gristmill_storage.ledger.replies import nonsense
from gristmill_storage.ledger.scripts import Script

if TYPE_CHECKING:
    import redis

T = TypeVar("T")

#: The oldest server that has BITPOS by bits and EXPIRE NX.
_OLDEST: Final = 7
#: Seconds between two tries: the first, of a server of our own that is just being started, of another; the longest.
_FIRST_PAUSE_OWN: Final = 0.002
_FIRST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0
#: Seconds that a server may be away before anybody is told: a restart is hardly worth a word.
_QUIET_SECONDS: Final = 1.0
#: What a user can do about a server that is away, unless it is one that a run has for itself.
_FIX: Final = "start it, or correct GRISTMILL_REDIS_URL"
#: Answers of a server that will work again: it loads, runs another's script, fails over, or its disk is full for now.
_PASSING: Final = (
    *("BUSY", "LOADING", "MISCONF"),
    *("READONLY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "NOREPLICAS"),
)


#: What redis-py raises on bytes that are none of the protocol's.
_NONSENSE: Final = (LookupError, TypeError, ValueError, AttributeError)


class Connection:
    """A Redis server; safe to share between threads."""

    def __init__(self, url: str, *, timeout: float, patience: float, library: bool = True) -> None:
        """Take the address, the seconds that one answer may take, and the seconds to go on trying.

        `library`: whether the client is redis-py's wherever the server is, because more of it is used than `wire` has.
        """
        self.timeout = timeout
        self._plain = not library and wire.speaks(url)
        self._patience = patience
        self._url = url
        self._lock = threading.Lock()
        self._client: redis.Redis | None = None
        self.name = without_secrets(url)
        #: Told what a call waits for, once in an outage, and "" at its end; from the thread that waits.
        self.tell: Callable[[str], None] = lambda _: None
        self._told = False

    def run(self, script: Script, key: str, arguments: tuple[Any, ...]) -> Any:
        """Call a script on a job's key."""
        return self.call(lambda client: self._evaluate(client, script, key, arguments))

    def call(self, act: Callable[[redis.Redis], T]) -> T:
        """Do what `act` does with a client, again and again while the fault is one that passes.

        Raises:
            LedgerFailed: the server stayed away for `patience` seconds, or refused.

        """
        began = time.monotonic()
        pause = _FIRST_PAUSE_OWN if self._plain else _FIRST_PAUSE
        while True:
            try:
                answer = act(self._connected())
            except LedgerFailed:
                raise
            except Exception as error:
                if isinstance(error, _NONSENSE):
                    raise nonsense(self.name, "a command", error) from error
                if not self._is_fault(error):
                    raise
                self._bear(error, time.monotonic() - began, pause)
            else:
                if self._told:
                    self._told = False
                    self.tell("")
                return answer
            time.sleep(pause * (0.5 + random.random() / 2))  # noqa: S311 (spreads out those who wait, hides nothing)
            pause = min(_LONGEST_PAUSE, pause * 2)

    def _bear(self, error: Exception, waited: float, pause: float) -> None:
        """Tell of a fault, after `waited` seconds of it, before it is waited for once more.

        Raises:
            LedgerFailed: it does not pass, or has not in time.

        """
        if not self._passes(error):
            raise LedgerFailed(f"the ledger at {self.name} refused: {error}") from error
        if waited + pause > self._patience:
            raise LedgerFailed(self._gave_up(error)) from error
        if waited >= _QUIET_SECONDS and not self._told:
            self._told = True
            self.tell(f"waiting for the Redis server at {self.name}: {_reason(error)}; {_FIX}")

    def once(self, act: Callable[[redis.Redis], T]) -> T | None:
        """Do what `act` does with a client; None when that fails in a way that passes."""
        try:
            return act(self._connected())
        except Exception as error:
            if not self._is_fault(error):
                raise
            if not self._passes(error):
                raise LedgerFailed(f"the ledger at {self.name} refused: {error}") from error
            return None

    def disconnect(self) -> None:
        """Close all connections; the next call makes new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> redis.Redis:
        client = self._client
        if client is None:
            with self._lock:
                client = self._client
                if client is None:
                    client = self._client = self._connect()
        return client

    def _connect(self) -> redis.Redis:
        client = self._make_client()
        try:
            version = str(client.info("server").get("redis_version", "0"))
        except BaseException:
            client.close()
            raise
        if int(version.partition(".")[0]) < _OLDEST:
            client.close()
            raise LedgerFailed(
                f"the ledger at {self.name} speaks Redis {version}: use Redis {_OLDEST} or later, or Valkey"
            )
        return client

    def _make_client(self) -> redis.Redis:
        if self._plain:
            return cast("redis.Redis", wire.Client(self._url, self.timeout))
        return _make_client(self._url, self.timeout, self.name)

    def _evaluate(self, client: redis.Redis, script: Script, key: str, arguments: tuple[Any, ...]) -> Any:
        try:
            return client.evalsha(script.digest, 1, key, *arguments)
        except Exception as error:
            if not self._is_unknown_script(error):
                raise
            return client.eval(script.source, 1, key, *arguments)

    def _is_unknown_script(self, error: Exception) -> bool:
        if self._plain:
            return isinstance(error, wire.Refused) and str(error).startswith("NOSCRIPT")
        from redis.exceptions import NoScriptError  # noqa: PLC0415 (an optional extra, and slow)

        return isinstance(error, NoScriptError)

    def _is_fault(self, error: Exception) -> bool:
        """Return whether the server, or the way to it, is to blame."""
        return isinstance(error, (wire.Refused, OSError)) if self._plain else _is_redis(error)

    def _passes(self, error: Exception) -> bool:
        if self._plain:
            return isinstance(error, OSError) or str(error).startswith(_PASSING)
        return _passes(error)

    def _gave_up(self, error: Exception) -> str:
        fix = "" if self._plain else f"; {_FIX}"
        return f"the ledger at {self.name} cannot be used since {self._patience:g} s: {_reason(error)}{fix}"


def _reason(error: Exception) -> str:
    return str(error).rstrip(".") or type(error).__name__


def without_secrets(url: str) -> str:
    """Return an address as it may stand in messages: no user, no password, no options."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _make_client(url: str, timeout: float, name: str) -> redis.Redis:
    try:
        import redis  # noqa: PLC0415 (an optional extra, and slow)
        from redis.backoff import NoBackoff  # noqa: PLC0415
        from redis.retry import Retry  # noqa: PLC0415
    except ImportError as error:
        raise MissingExtra("a ledger in Redis", "local") from error
    options: dict[str, Any] = {} if url.startswith("unix:") else {"socket_keepalive": True}
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            health_check_interval=10,
            decode_responses=True,
            protocol=2,
            retry=Retry(NoBackoff(), 0),
            **options,
        )
    except ValueError as error:
        raise LedgerFailed(f"GRISTMILL_REDIS_URL={name}: give redis://, rediss:// or unix:// ({error})") from error


def _is_redis(error: Exception) -> bool:
    from redis.exceptions import RedisError  # noqa: PLC0415 (an optional extra, and slow)

    return isinstance(error, (RedisError, OSError))


def _passes(error: Exception) -> bool:
    from redis import exceptions  # noqa: PLC0415 (an optional extra, and slow)

    if isinstance(error, (exceptions.AuthenticationError, exceptions.AuthorizationError)):
        return False
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ReadOnlyError, OSError)):
        return True
    return isinstance(error, (exceptions.ClusterDownError, exceptions.TryAgainError)) or str(error).startswith(_PASSING)
