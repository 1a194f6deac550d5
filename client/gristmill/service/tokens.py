"""`client.tokens`: who may do what."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gristmill.service.http import Http, place
from gristmill.service.resource import Resource
from gristmill.service.stored import Stored


class Tokens:
    """What is done with tokens; an owner's business."""

    def __init__(self, http: Http) -> None:
        """Take the server."""
        self._stored = Stored(http)

    def create(
        self,
        name: str,
        *,
        roles: Sequence[str] = ("invoker",),
        endpoints: Sequence[str] = ("*",),
        expires_in: float | None = None,
    ) -> Resource:
        """Make a token; the answer's `token` is shown this once.

        Args:
            name: whose it is, for the audit and for lists.
            roles: `reader`, `invoker` or `owner`.
            endpoints: the names of those that it is for; "*": all.
            expires_in: seconds until it is worth nothing; None: never.

        """
        document = {"name": name, "roles": list(roles), "endpoints": list(endpoints), "expires_in": expires_in}
        return self._stored.post(place("tokens"), document)

    def list(self) -> Iterator[Resource]:
        """Go through all tokens, without what is secret."""
        return self._stored.pages(place("tokens"))

    def delete(self, token_id: str) -> None:
        """Let a token be worth nothing from now on.

        Raises:
            ResourceNotFound: there is none of that id.

        """
        self._stored.remove(place("tokens", token_id))
