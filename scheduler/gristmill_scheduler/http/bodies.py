"""The body of a request as a JSON object, read strictly: nothing is taken that could not be written down again.

Python's own reader takes NaN, Infinity, and half a surrogate pair; none of them is JSON that a document could hold.
The body is read as a dependency, after the check of who asks.
"""

from __future__ import annotations

import json
import re
from http import HTTPStatus
from typing import Annotated, Any, Final, NoReturn

from fastapi import Depends, Request
from starlette.exceptions import HTTPException

from gristmill.errors import Mistake

#: Bytes of a JSON body.
MOST_JSON_BYTES: Final = 1 << 20

#: Levels that an object may be nested: what reads documents later walks them by recursion.
MOST_LEVELS: Final = 64

_JSON_TYPE: Final = re.compile(r"application/(json|[a-z0-9.+-]+\+json)\s*(;.*)?", re.IGNORECASE)

_SURROGATE: Final = re.compile(r"[\ud800-\udfff]")


async def read_object(request: Request) -> dict[str, Any]:
    """Return the request's body, a JSON object; an empty body is an empty object.

    Raises:
        Mistake: it is none.

    """
    kind = request.headers.get("content-type", "application/json")
    if not _JSON_TYPE.fullmatch(kind):
        raise HTTPException(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"content-type: {kind!r}: send application/json")
    return parse_object(await request.body())


def parse_object(data: bytes) -> dict[str, Any]:
    """Return bytes as a JSON object; none at all are an empty one.

    Raises:
        Mistake: they are none.

    """
    if not data.strip():
        return {}
    try:
        document = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise Mistake(f"the body is no JSON: {_reason(error)}") from error
    if not isinstance(document, dict):
        raise Mistake(f"the body is a JSON {_kind(document)}; send an object")
    _check(document, MOST_LEVELS, "the body")
    return document


def body_schema(name: str, *, required: bool = False) -> dict[str, Any]:
    """Return what OpenAPI says of a JSON body: an object, named in the description; for `openapi_extra`."""
    content = {"application/json": {"schema": {"type": "object", "description": name, "additionalProperties": True}}}
    return {"requestBody": {"required": required, "content": content}}


def _check(value: Any, levels: int, place: str) -> None:
    """Make sure that a value can be kept: no half surrogate pairs, no NUL, not nested without end."""
    if isinstance(value, str):
        if _SURROGATE.search(value) or "\0" in value:
            raise Mistake(f"{place}: holds a text with NUL or half a surrogate pair; leave it out")
    elif isinstance(value, float):
        if value in (float("inf"), float("-inf")):
            raise Mistake(f"{place}: a number is too large to be kept")
    elif isinstance(value, dict | list):
        if not levels:
            raise Mistake(f"{place}: is nested deeper than {MOST_LEVELS} levels")
        for entry in [*value, *value.values()] if isinstance(value, dict) else value:
            _check(entry, levels - 1, place)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is no UTF-8"
    if isinstance(error, RecursionError):
        return f"it is nested deeper than {MOST_LEVELS} levels"
    return str(error)


def _kind(value: Any) -> str:
    names = {list: "array", str: "string", bool: "boolean", int: "number", float: "number"}
    return names.get(type(value), "null")


#: The body of a request, for a route's parameter.
JsonBody = Annotated[dict[str, Any], Depends(read_object)]
