"""The server's own tokens: made once, shown once, kept as a hash, and gone within seconds when they are deleted.

A token is `gm_<id>_<secret>`. Its secret is 32 random bytes, so a plain SHA-256 of it is safe to keep: the slow hashes
that passwords need slow down a search through likely words, and among 2^256 equally likely secrets there is nothing to
search. The id finds the document without a secret being compared on the way; the hash is compared in constant time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from gristmill.errors import Mistake, ResourceNotFound, Unauthorized
from gristmill_scheduler.http.principal import EVERYWHERE, ROLES, Principal, greatest
from gristmill_storage.workspace import Documents

#: What begins a token of ours.
PREFIX: Final = "gm_"

#: Seconds for which what was read of a token is believed; a deleted one stops working within them.
CACHE_SECONDS: Final = 3.0

#: Tokens that are remembered at most.
_CACHE_SIZE: Final = 4096

#: Seconds that a token may live at most, when it expires: ten years.
MOST_SECONDS: Final = 10 * 366 * 86400

_TOKEN: Final = re.compile(r"gm_([0-9a-f]{16})_([A-Za-z0-9_-]{20,100})")
_ID: Final = re.compile(r"[0-9a-f]{16}")
_NAME: Final = re.compile(r"[\w@.:+-][\w@.:+ -]{0,99}")
_ENDPOINT: Final = re.compile(r"\*|[A-Za-z][A-Za-z0-9-]{0,63}")

#: What is compared where there is no such token, so that an answer takes as long.
_NO_HASH: Final = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True, kw_only=True)
class Grant:
    """What a new token allows."""

    #: What audit lines and documents will call its bearer.
    name: str
    #: "reader", "invoker", "owner"; at least one.
    roles: tuple[str, ...]
    #: The endpoints that it sees; `*` for all.
    endpoints: tuple[str, ...] = (EVERYWHERE,)
    #: Seconds until it stops working; None: never.
    expires_in: float | None = None

    @classmethod
    def read(cls, body: dict[str, Any]) -> Grant:
        """Return what a request asks for.

        Raises:
            Mistake: it cannot be used; the message names the field.

        """
        unknown = sorted(set(body) - {"name", "roles", "endpoints", "expires_in"})
        if unknown:
            raise Mistake(f"{unknown[0]}: is unknown; a token has name, roles, endpoints and expires_in")
        name = body.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise Mistake("name: give 1 to 100 letters, digits, spaces or any of @ . : + - _")
        return cls(
            name=name,
            roles=_texts(body.get("roles"), "roles", re.compile("|".join(ROLES)), f"a list of {', '.join(ROLES)}"),
            endpoints=_texts(body.get("endpoints", ["*"]), "endpoints", _ENDPOINT, "a list of endpoints' names, or *"),
            expires_in=_seconds(body.get("expires_in")),
        )


@dataclass(frozen=True)
class _Known:
    """What was read of a token, and when."""

    read: float
    #: None: there is no such token.
    document: dict[str, Any] | None


class Tokens:
    """The tokens of a workspace."""

    def __init__(
        self,
        documents: Documents,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Take where they are kept, and the clocks."""
        self._documents = documents
        self._clock = clock
        self._now = now
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._lock = threading.Lock()

    def make(self, grant: Grant, *, by: str) -> tuple[str, str]:
        """Make a token; return its id and the token itself, which nobody can show again."""
        name, secret, now = secrets.token_hex(8), secrets.token_urlsafe(32), self._now()
        expires = None if grant.expires_in is None else (now + timedelta(seconds=grant.expires_in)).isoformat()
        document = {
            "name": grant.name,
            "roles": list(grant.roles),
            "endpoints": [endpoint.lower() for endpoint in grant.endpoints],
            "expires": expires,
            "hash": _hash(secret),
            "creation_context": {"created_at": now.isoformat(), "created_by": by},
        }
        self._documents.put(name, document, expected=0)
        return name, f"{PREFIX}{name}_{secret}"

    def list(self) -> list[dict[str, Any]]:
        """Return what there is to show of the tokens: everything but the hash."""
        return [_shown(name, version.body) for name, version in self._documents.all()]

    def delete(self, name: str) -> None:
        """Make a token stop working: here at once, on other servers within seconds.

        Raises:
            ResourceNotFound: there is none of that id.

        """
        if not _ID.fullmatch(name) or self._documents.find(name) is None:
            raise ResourceNotFound(f"token {name[:40]!r}: there is none; `gristmill token list` shows their ids")
        self._documents.delete(name)
        with self._lock:
            self._known[name] = _Known(self._clock(), None)

    def check(self, token: str) -> Principal:
        """Return whose token this is.

        Raises:
            Unauthorized: nobody's, or it has expired.

        """
        match = _TOKEN.fullmatch(token)
        if match is None:
            raise Unauthorized("the token is none of this server's")
        return self._principal(self._read(match[1]), match[2])

    def at_hand(self, token: str) -> Principal | None:
        """Return whose token this is, if that is known without a look at storage; None otherwise.

        Raises:
            Unauthorized: nobody's, or it has expired.

        """
        match = _TOKEN.fullmatch(token)
        known = self._fresh(match[1]) if match else None
        return None if known is None or match is None else self._principal(known.document, match[2])

    def is_known(self, token: str) -> bool:
        """Return whether a token was good before: then a look at it is worth its cost.

        Its id alone, which is no secret, says nothing.
        """
        match = _TOKEN.fullmatch(token)
        with self._lock:
            known = self._known.get(match[1]) if match else None
        try:
            return known is not None and match is not None and bool(self._principal(known.document, match[2]))
        except Unauthorized:
            return False

    def _principal(self, document: dict[str, Any] | None, secret: str) -> Principal:
        expected = _NO_HASH if document is None else str(document.get("hash", ""))
        # The secret is compared before anything else is said of the token.
        if not hmac.compare_digest(_hash(secret), expected) or document is None:
            raise Unauthorized("the token is none of this server's, or was deleted")
        if document["expires"] is not None and datetime.fromisoformat(document["expires"]) <= self._now():
            raise Unauthorized(f"the token expired at {document['expires']}; ask for a new one")
        role, endpoints = greatest(document["roles"]), frozenset(document["endpoints"])
        return Principal(name=document["name"], role=role, endpoints=endpoints)

    def _fresh(self, name: str) -> _Known | None:
        with self._lock:
            known = self._known.get(name)
        return known if known is not None and self._clock() - known.read < CACHE_SECONDS else None

    def _read(self, name: str) -> dict[str, Any] | None:
        known = self._fresh(name)
        if known is None:
            # The time before the look: what a deletion meanwhile makes of it is not believed for longer than said.
            known = _Known(self._clock(), None)
            version = self._documents.find(name)
            known = known if version is None else replace(known, document=version.body)
            self._remember(name, known)
        return known.document

    def _remember(self, name: str, known: _Known) -> None:
        with self._lock:
            there = self._known.get(name)
            if there is not None and there.read > known.read:
                return
            self._known[name] = known
            self._known.move_to_end(name)
            while len(self._known) > _CACHE_SIZE:
                self._known.popitem(last=False)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("ascii")).hexdigest()


def _shown(name: str, document: dict[str, Any]) -> dict[str, Any]:
    return {"id": name, **{key: value for key, value in document.items() if key != "hash"}}


def _texts(value: Any, field: str, valid: re.Pattern[str], wanted: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise Mistake(f"{field}: give {wanted}")
    for entry in value:
        if not isinstance(entry, str) or not valid.fullmatch(entry):
            raise Mistake(f"{field}: {str(entry)[:80]!r}: give {wanted}")
    return tuple(value)


def _seconds(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MOST_SECONDS:
        raise Mistake(f"expires_in: {str(value)[:80]}: give seconds above 0, {MOST_SECONDS} at most, or null")
    return float(value)
