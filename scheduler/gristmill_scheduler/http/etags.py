"""Versions of documents as ETags, so that an update of what somebody else changed meanwhile is refused."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import Depends, Request

from gristmill.errors import Mistake, PreconditionFailed

#: What stands for "it must not be there yet".
ABSENT: Final = 0

_TAG: Final = re.compile(r'"([0-9]{1,15})"')


def etag(version: int) -> str:
    """Return a version as the header says it."""
    return f'"{version}"'


def expected_version(request: Request) -> int | None:
    """Return the version that a change expects: 0 for none there, None for whatever is there.

    Raises:
        Mistake: the headers cannot be used.
        PreconditionFailed: the tag is one that this server never gave.

    """
    match, none_match = request.headers.get("if-match"), request.headers.get("if-none-match")
    if none_match is not None:
        if match is not None:
            raise Mistake("if-match and if-none-match: give one of them")
        if none_match.strip() != "*":
            raise Mistake("if-none-match: give *, for what must not be there yet")
        return ABSENT
    if match is None:
        return None
    if "," in match or match.strip() == "*":
        raise Mistake('if-match: give one ETag as a document answered it, as "3"')
    tag = _TAG.fullmatch(match.strip())
    if tag is None or int(tag[1]) == ABSENT:
        raise PreconditionFailed("if-match: no document has that ETag; read it again and repeat the change on it")
    return int(tag[1])


#: The version that a change expects, for a route's parameter.
Expected = Annotated[int | None, Depends(expected_version)]
