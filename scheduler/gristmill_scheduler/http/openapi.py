"""What the server says of itself at /openapi.json: how requests are signed, and what a refusal looks like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict

from gristmill_scheduler.http.auth import Require
from gristmill_scheduler.http.problems import MEDIA_TYPE

#: The refusals that any route may answer with.
_REFUSALS: Final = (
    HTTPStatus.BAD_REQUEST,
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.NOT_FOUND,
    HTTPStatus.CONFLICT,
    HTTPStatus.PRECONDITION_FAILED,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.SERVICE_UNAVAILABLE,
)

_CONTENT: Final = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}

#: The refusals as each route documents them.
RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    **{int(status): {"description": status.phrase, "content": _CONTENT} for status in _REFUSALS},
    "default": {"description": "The server failed", "content": _CONTENT},
}


#: What says in an operation who may ask for it.
ROLE: Final = "x-gristmill-role"


class Document(BaseModel):
    """A resource as it is shown; beside these it has the keys of its YAML file."""

    model_config = ConfigDict(extra="allow")

    id: str
    name: str


class Documents(BaseModel):
    """A page of a list."""

    value: list[dict[str, Any]]
    #: Address of the next page; null: this is the last one.
    nextLink: str | None = None  # noqa: N815 - the name that clients know


class Acted(BaseModel):
    """What was done to several resources."""

    value: list[dict[str, Any]]


_PROBLEM: Final[dict[str, Any]] = {
    "type": "object",
    "title": "Problem",
    "description": "A refusal (RFC 9457); `error` is what the client raises.",
    "required": ["type", "title", "status", "detail", "error"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "error": {
            "type": "object",
            "required": ["class", "message", "detail"],
            "properties": {
                "class": {"type": "string"},
                "message": {"type": "string"},
                "detail": {"type": "string"},
            },
        },
        "faults": {"type": "array", "items": {"type": "object"}},
    },
}

_BEARER: Final = {
    "type": "http",
    "scheme": "bearer",
    "description": "A token of the server's own (gm_...), or one of the identity provider that it is set up with.",
}


def _roles(routes: Iterable[Any]) -> Iterator[tuple[str, str, str]]:
    """Yield path, method and who may ask, of every route that has a check."""
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is not None:
            yield from _roles(inner.routes)
        elif isinstance(route, APIRoute):
            checks = [each.call for each in route.dependant.dependencies if isinstance(each.call, Require)]
            yield from (
                (route.path_format, method.lower(), check.words) for method in route.methods or () for check in checks
            )


def describe(app: FastAPI, *, public: frozenset[str]) -> dict[str, Any]:
    """Return the application's OpenAPI document; made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
        )
        components = document.setdefault("components", {})
        components.setdefault("schemas", {})["Problem"] = _PROBLEM
        components["securitySchemes"] = {"bearer": _BEARER}
        document["security"] = [{"bearer": []}]
        for path in public & set(document["paths"]):
            for operation in document["paths"][path].values():
                operation["security"] = []
        for path, method, role in _roles(app.routes):
            document["paths"][path][method][ROLE] = role
        app.openapi_schema = document
    return app.openapi_schema
