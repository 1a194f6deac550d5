"""A company's own tokens: signed by its identity provider, checked here against the keys that the provider publishes.

The issuer's discovery document names where its keys are. They are kept for an hour, and read again when a token names
a key that is not among them, though at most once a minute: keys are changed in a provider without notice, and a
stranger must not make this server ask for them again and again. While the provider is away the old keys serve on.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, JoseError
from joserfc.jwk import ECKey, GuestProtocol, KeySet, RSAKey

from gristmill.counts import counted
from gristmill.errors import Mistake, ServerFailed, Unauthorized
from gristmill_scheduler.http.principal import Principal, greatest

#: Signatures that are taken: both are made with a key that only the provider has.
ALGORITHMS: Final = ("RS256", "ES256")

#: What the values of the roles' claim begin with, as "gristmill.reader".
ROLE_PREFIX: Final = "gristmill."

#: Seconds that keys serve without being read again.
KEYS_SECONDS: Final = 3600.0

#: Seconds between two readings, whoever asks for them.
LEAST_SECONDS: Final = 60.0

#: Seconds by which the provider's clock may differ from this one.
LEEWAY_SECONDS: Final = 30

#: Seconds that the provider is given for an answer.
_TIMEOUT: Final = 5.0

#: Bytes of the provider's documents at most.
_MOST_BYTES: Final = 1 << 20

#: Characters of a token at most.
_MOST_CHARACTERS: Final = 16_384

log = logging.getLogger("gristmill.http")


@dataclass(frozen=True, kw_only=True)
class OidcSettings:
    """Whose tokens are taken."""

    #: The provider's address, as its tokens name it in `iss`.
    issuer: str
    #: What its tokens must name in `aud`.
    audience: str
    #: The claim that holds the roles; dots lead into objects, as "realm_access.roles".
    roles_claim: str = "roles"

    def __post_init__(self) -> None:
        """Refuse an address whose answers anyone on the way could forge."""
        _check_address(self.issuer, "--oidc-issuer")


class Oidc:
    """Checks the tokens of one provider."""

    def __init__(
        self,
        settings: OidcSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        fetch: Callable[[str], Any] | None = None,
    ) -> None:
        """Take whose tokens are taken, a clock, and what reads a JSON document of the web."""
        self._settings = settings
        self._clock = clock
        self._fetch = fetch or fetch_json
        self._keys: dict[str, RSAKey | ECKey] = {}
        self._read = float("-inf")
        self._tried = float("-inf")
        self._lock = threading.Lock()
        self._claims = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": settings.issuer},
            aud={"essential": True, "value": settings.audience},
            exp={"essential": True},
            sub={"essential": True},
        )

    def check(self, token: str) -> Principal:
        """Return whose token this is.

        Raises:
            Unauthorized: it is none of the provider's, not for this server, or not of this time.
            ServerFailed: the provider's keys cannot be had.

        """
        if len(token) > _MOST_CHARACTERS:
            raise Unauthorized("the token is too long to be one")
        try:
            decoded = jwt.decode(token, self._key, algorithms=ALGORITHMS)
            self._claims.validate(decoded.claims)
        except ExpiredTokenError as error:
            raise Unauthorized("the token has expired; get a new one") from error
        except (JoseError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise Unauthorized(f"the token is not one that this server takes: {type(error).__name__}") from error
        return self._principal(decoded.claims)

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        names = (claims.get(key) for key in ("preferred_username", "email", "azp", "appid", "sub"))
        name = next(name for name in names if isinstance(name, str) and name)
        given = _values(claims, self._settings.roles_claim)
        role = greatest(value.removeprefix(ROLE_PREFIX) for value in given if value.startswith(ROLE_PREFIX))
        return Principal(name=name, role=role, way="oidc")

    def _key(self, token: GuestProtocol) -> RSAKey | ECKey:
        """Return the key that a token says it was signed with."""
        kid = token.headers().get("kid")
        self._refresh(kid)
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        if not isinstance(kid, str) or kid not in self._keys:
            raise Unauthorized("the token's key is none of the issuer's")
        return self._keys[kid]

    def _refresh(self, kid: object) -> None:
        """Read the keys again where that is due."""
        with self._lock:
            now = self._clock()
            due = now - self._read >= KEYS_SECONDS or (kid is not None and kid not in self._keys)
            if not due or now - self._tried < LEAST_SECONDS:
                if not self._keys:
                    raise ServerFailed(f"{self._settings.issuer}: its keys could not be read")
                return
            self._tried = now
            try:
                self._keys = self._fetch_keys()
                self._read = now
            except (ServerFailed, Mistake) as error:
                log.warning("%s", error)
                if not self._keys:
                    raise ServerFailed(f"{self._settings.issuer}: its keys could not be read") from error

    def _fetch_keys(self) -> dict[str, RSAKey | ECKey]:
        issuer = self._settings.issuer
        discovered = self._fetch(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if not isinstance(discovered, dict) or discovered.get("issuer") != issuer:
            raise ServerFailed(f"{issuer}: its discovery document names another issuer")
        address = str(discovered.get("jwks_uri"))
        _check_address(address, "jwks_uri")
        try:
            found = KeySet.import_key_set(_usable(self._fetch(address))).keys
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise ServerFailed(f"{address}: its keys cannot be read: {type(error).__name__}") from error
        keys = {str(key.kid): key for key in found if isinstance(key, RSAKey | ECKey)}
        log.info("%s: read %s", issuer, counted(len(keys), "key"))
        return keys


def fetch_json(address: str) -> Any:
    """Return a JSON document of the web.

    Raises:
        ServerFailed: it cannot be had.

    """
    try:
        with httpx.stream("GET", address, timeout=_TIMEOUT, headers={"Accept": "application/json"}) as response:
            response.raise_for_status()
            data = b""
            for chunk in response.iter_bytes():
                data += chunk
                if len(data) > _MOST_BYTES:
                    raise ServerFailed(f"{address}: answers more than {_MOST_BYTES} bytes")
        return json.loads(data)
    except (httpx.HTTPError, ValueError, RecursionError) as error:
        raise ServerFailed(f"{address}: cannot be read: {type(error).__name__}: {error}") from error


def _usable(document: Any) -> Any:
    """Return a set of keys without those of kinds that are not used here: one of them must not spoil the others."""
    keys = document["keys"]
    return {"keys": [key for key in keys if key.get("kty") in ("RSA", "EC") and key.get("use", "sig") == "sig"]}


def _check_address(address: str, name: str) -> None:
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.hostname:
        return
    if parts.scheme == "http" and is_loopback(parts.hostname or ""):
        return
    raise Mistake(f"{name}: {address}: give an https:// address (http:// only on this machine)")


def is_loopback(host: str) -> bool:
    """Return whether a host is this machine, under an address that no other machine reaches."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _values(claims: Mapping[str, Any], path: str) -> list[str]:
    """Return the texts of a claim: a list, or one text with spaces between them."""
    value: Any = claims.get(path)
    if value is None:
        value = claims
        for part in path.split("."):
            value = value.get(part) if isinstance(value, dict) else None
    if isinstance(value, str):
        return value.split()
    return [entry for entry in value if isinstance(entry, str)] if isinstance(value, list) else []
