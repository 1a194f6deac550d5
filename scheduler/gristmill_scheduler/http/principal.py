"""Who asks: a name, what it may do, and for which endpoints."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias, get_args

from gristmill.errors import Forbidden

#: What a token may be allowed; each contains the ones before it.
Role: TypeAlias = Literal["reader", "invoker", "owner"]

ROLES: Final[tuple[Role, ...]] = get_args(Role)

#: Stands for every endpoint.
EVERYWHERE: Final = "*"


@dataclass(frozen=True, kw_only=True)
class Principal:
    """One who asks, known by a token."""

    #: What documents and audit lines call it.
    name: str
    #: The greatest of its roles; None: it may nothing.
    role: Role | None
    #: The endpoints that it sees, in lower case; `*` for all.
    endpoints: frozenset[str] = frozenset({EVERYWHERE})
    #: How it proved who it is: "token", "oidc" or "insecure-local".
    way: str = "token"

    @property
    def everywhere(self) -> bool:
        """Whether it sees every endpoint."""
        return EVERYWHERE in self.endpoints

    def may(self, role: Role) -> bool:
        """Return whether it has a role, or one that contains it."""
        return self.role is not None and ROLES.index(self.role) >= ROLES.index(role)

    def sees(self, endpoint: str) -> bool:
        """Return whether an endpoint is one of its own."""
        return self.everywhere or endpoint.lower() in self.endpoints

    def check_role(self, role: Role) -> None:
        """Make sure of a role.

        Raises:
            Forbidden: it has not got it.

        """
        if not self.may(role):
            raise Forbidden(f"{self.name} has the role {self.role or 'none'}; this needs {role}")

    def check_endpoint(self, endpoint: str) -> None:
        """Make sure that an endpoint is one of its own; whether there is such an endpoint is not told.

        Raises:
            Forbidden: it is not.

        """
        if not self.sees(endpoint):
            known = ", ".join(sorted(self.endpoints)) or "none"
            raise Forbidden(f"endpoint {endpoint}: the token of {self.name} is for {known} only")

    def check_everywhere(self) -> None:
        """Make sure that it is not kept to some endpoints: what they all share is not to be changed by one of them.

        Raises:
            Forbidden: it is.

        """
        if not self.everywhere:
            known = ", ".join(sorted(self.endpoints)) or "none"
            raise Forbidden(f"the token of {self.name} is for {known} only; this needs one for all endpoints ('*')")


def greatest(names: Iterable[str]) -> Role | None:
    """Return the greatest of the roles among some names; others are passed over."""
    held = [name for name in names if name in ROLES]
    return max(held, key=ROLES.index, default=None)
