"""Who may do what: each request is known by its bearer token before anything else is done with it.

`Guard` says who asks; it is put before the whole application, so that no route can be forgotten. What they may do is
said at each route by one of `READER`, `INVOKER` and `OWNER`, which also keep a token to its endpoints where the path
names one as `{endpoint}`; a route takes `Caller` to know who asks:

    @router.get("/batchEndpoints/{endpoint}/jobs", dependencies=[READER])
    def list_jobs(endpoint: str, caller: Caller) -> JSONResponse: ...

A route whose path names no endpoint but whose documents belong to one asks `caller.sees` or `caller.check_endpoint`.
"""

from __future__ import annotations

import getpass
import logging
from typing import Annotated, Any, Final

from fastapi import Depends, Request

from gristmill.errors import Unauthorized
from gristmill_scheduler.http.failures import Failures
from gristmill_scheduler.http.oidc import Oidc
from gristmill_scheduler.http.principal import Principal, Role
from gristmill_scheduler.http.tokens import PREFIX, Tokens

__all__ = ["INVOKER", "OWNER", "OWNER_OF_ENDPOINT", "READER", "Caller", "Guard", "Principal", "Require", "require"]

log = logging.getLogger("gristmill.http")


class Require:
    """A route's check: FastAPI calls it before the route."""

    def __init__(self, role: Role, *, shared: bool = False) -> None:
        """Take the role that a caller needs, and whether it must be for all endpoints."""
        self.role = role
        self.shared = shared

    @property
    def words(self) -> str:
        """Who may ask, in words."""
        return f"{self.role} of all endpoints" if self.shared else self.role

    async def __call__(self, request: Request) -> Principal:
        """Return who asks.

        Raises:
            Forbidden: they may not.

        """
        caller = asking(request)
        caller.check_role(self.role)
        endpoint = request.path_params.get("endpoint")
        if endpoint is not None:
            caller.check_endpoint(endpoint)
        if self.shared:
            caller.check_everywhere()
        return caller


def require(role: Role, *, shared: bool = False) -> Any:
    """Return the check for a route's `dependencies`.

    Args:
        role: what a caller needs.
        shared: whether the route changes what all endpoints share, so that a token for some does not do.

    """
    return Depends(Require(role, shared=shared))


def asking(request: Request) -> Principal:
    """Return who asks, as the guard found out.

    Raises:
        Unauthorized: nobody found out.

    """
    caller = request.scope.get("gristmill.caller")
    if not isinstance(caller, Principal):
        raise Unauthorized("the request says not who asks")
    return caller


#: Looks at anything; of what belongs to endpoints, at its own.
READER: Final = require("reader")

#: Invokes, and cancels, pauses and resumes jobs; uploads.
INVOKER: Final = require("invoker")

#: Changes an endpoint that the path names.
OWNER_OF_ENDPOINT: Final = require("owner")

#: Changes what all endpoints share.
OWNER: Final = require("owner", shared=True)

#: Who asks, for a route's parameter.
Caller = Annotated[Principal, Depends(asking)]


class FailedTooOften(Exception):
    """The address failed too often to be listened to."""

    def __init__(self, seconds: float) -> None:
        """Take the seconds until it may try again."""
        super().__init__(f"{seconds:.1f} s")
        self.seconds = seconds


class Guard:
    """Finds out who asks."""

    def __init__(
        self,
        tokens: Tokens,
        *,
        oidc: Oidc | None = None,
        failures: Failures | None = None,
        insecure_local: bool = False,
    ) -> None:
        """Take the tokens, the provider whose tokens are taken too, and whether everyone is an owner.

        The last is for a server that only this machine reaches; whoever serves makes sure of that.
        """
        self.tokens = tokens
        self.insecure_local = insecure_local
        self._oidc = oidc
        self._failures = failures or Failures()
        self._local = Principal(name=_user(), role="owner", way="insecure-local")

    def at_hand(self, authorization: str | None) -> Principal | None:
        """Return who asks if that costs nothing to know; None: ask `identify`, which may look at storage."""
        if self.insecure_local:
            return self._local
        try:
            return self.tokens.at_hand(_bearer(authorization))
        except Unauthorized:
            return None

    def identify(self, authorization: str | None, address: str) -> Principal:
        """Return who asks.

        Args:
            authorization: the request's header.
            address: where it came from; its failures are counted.

        Raises:
            Unauthorized: it cannot be said.
            FailedTooOften: the address failed too often.
            ServerFailed: the provider's keys cannot be had.

        """
        if self.insecure_local:
            return self._local
        self._check_failures(authorization, address)
        try:
            token = _bearer(authorization)
            if self._oidc is not None and not token.startswith(PREFIX):
                return self._oidc.check(token)
            return self.tokens.check(token)
        except Unauthorized as error:
            self._failures.count(address)
            log.warning("%s: refused: %s", address, error.message)
            raise

    def _check_failures(self, authorization: str | None, address: str) -> None:
        """Refuse an address that failed too often, but not those behind it whose token was good before."""
        seconds = self._failures.wait(address)
        if seconds and not (authorization and self.tokens.is_known(authorization.partition(" ")[2].strip())):
            raise FailedTooOften(seconds)


def _bearer(authorization: str | None) -> str:
    if not authorization:
        raise Unauthorized("no token: send the header Authorization: Bearer <token>")
    kind, _, token = authorization.partition(" ")
    token = token.strip()
    if kind.lower() != "bearer" or not token:
        raise Unauthorized("the header authorization: write Bearer <token>")
    return token


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "local"
