"""What is refused, as problem+json: the error's own words, and nothing of the server's insides.

The body of every refusal is

    {"type": "about:blank", "title": class, "status": n, "detail": message, "error": {"class", "message", "detail"}}

so that a client makes the error again that was raised here. What nobody foresaw answers 500 with a number; the log has
the traceback under that number.
"""

from __future__ import annotations

import json
import logging
import math
import uuid
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from gristmill.errors import (
    Conflict,
    Forbidden,
    GristmillError,
    InvalidDocument,
    JobNotFound,
    LedgerFailed,
    Mistake,
    ModelNotFound,
    OtherVersion,
    PreconditionFailed,
    ResourceNotFound,
    ServerFailed,
    StorageFailed,
    TooLarge,
    TooManyRequests,
    Unauthorized,
)

MEDIA_TYPE: Final = "application/problem+json"

#: The status of each class; the first that fits, so a class stands before what it derives from.
_STATUS: Final[tuple[tuple[type[GristmillError], HTTPStatus], ...]] = (
    (Unauthorized, HTTPStatus.UNAUTHORIZED),
    (Forbidden, HTTPStatus.FORBIDDEN),
    (ResourceNotFound, HTTPStatus.NOT_FOUND),
    (Conflict, HTTPStatus.CONFLICT),
    (PreconditionFailed, HTTPStatus.PRECONDITION_FAILED),
    (TooLarge, HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    (TooManyRequests, HTTPStatus.TOO_MANY_REQUESTS),
    (Mistake, HTTPStatus.BAD_REQUEST),
    (OtherVersion, HTTPStatus.CONFLICT),
    (StorageFailed, HTTPStatus.SERVICE_UNAVAILABLE),
    (LedgerFailed, HTTPStatus.SERVICE_UNAVAILABLE),
    (ServerFailed, HTTPStatus.SERVICE_UNAVAILABLE),
)

#: What the URL itself names: 404 there, 400 where a body names it.
_NAMED_BY_URL: Final[tuple[tuple[type[GristmillError], str], ...]] = (
    (JobNotFound, "/jobs/"),
    (ModelNotFound, "/models/"),
)

#: The class that stands for a refusal of the framework's own.
_CLASS_OF: Final[dict[int, type[GristmillError]]] = {
    HTTPStatus.NOT_FOUND: ResourceNotFound,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TooLarge,
}

#: How a value is wrong, in our words, by the validator's name for it.
_WORDS: Final[dict[str, str]] = {
    "missing": "is missing",
    "int_parsing": "give a whole number",
    "int_type": "give a whole number",
    "float_parsing": "give a number",
    "bool_parsing": "give true or false",
    "string_type": "give a text",
    "list_type": "give a list",
    "dict_type": "give an object",
    "extra_forbidden": "is unknown; leave it out",
}

#: Characters of a refused value that are shown.
_SHOWN: Final = 80

log = logging.getLogger("gristmill.http")


def status_of(error: GristmillError, path: str) -> HTTPStatus:
    """Return the status that an error answers with, at a path of the URL."""
    for kind, part in _NAMED_BY_URL:
        if isinstance(error, kind) and part in path:
            return HTTPStatus.NOT_FOUND
    return next((status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def problem(error: GristmillError, path: str) -> Response:
    """Return the refusal that an error becomes, at a path of the URL."""
    status = status_of(error, path)
    if status is HTTPStatus.INTERNAL_SERVER_ERROR:
        return unforeseen(error)
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        return _unavailable(error)
    return _answer(error, status, _headers(error))


def unforeseen(error: BaseException) -> Response:
    """Return the refusal for what nobody foresaw; the log has the traceback under the number that it shows."""
    number = uuid.uuid4().hex[:12]
    log.error("failure %s", number, exc_info=error)
    plain = GristmillError(f"the server failed; its log has the reason under {number}")
    return _answer(plain, HTTPStatus.INTERNAL_SERVER_ERROR, {})


def too_often(seconds: float) -> Response:
    """Return the refusal of an address that failed too often, which may try again after some seconds."""
    whole = math.ceil(seconds)
    error = TooManyRequests(f"too many requests without a token that is taken; try again in {whole} s")
    return _answer(error, HTTPStatus.TOO_MANY_REQUESTS, {"Retry-After": str(whole)})


def install(app: FastAPI) -> None:
    """Let an application answer every error so."""
    app.add_exception_handler(GristmillError, _on_ours)
    app.add_exception_handler(RequestValidationError, _on_validation)
    app.add_exception_handler(HTTPException, _on_framework)
    app.add_exception_handler(ClientDisconnect, _on_disconnect)


def _unavailable(error: GristmillError) -> Response:
    """Say that storage, ledger or another server fails; addresses and paths of this one stay in the log."""
    number = uuid.uuid4().hex[:12]
    log.warning("failure %s: %s: %s", number, type(error).__name__, error.message)
    what = {StorageFailed: "storage", LedgerFailed: "the Redis server"}
    name = next((word for kind, word in what.items() if isinstance(error, kind)), "another server")
    plain = type(error).from_json({**error.to_json(), "message": "", "detail": ""})
    plain.message = f"{name} does not answer as it should; the server's log has the reason under {number}"
    return _answer(plain, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "5"})


async def _on_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, GristmillError)
    return problem(error, request.url.path)


async def _on_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = "; ".join(_fault(one) for one in error.errors())
    return problem(Mistake(faults or "the request cannot be read"), request.url.path)


async def _on_framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    kind = _CLASS_OF.get(error.status_code, Mistake)
    message = str(error.detail)
    if error.status_code == HTTPStatus.NOT_FOUND:
        message = f"{shown(request.url.path)}: there is nothing at this path"
    elif error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        message = f"{shown(request.url.path)}: {request.method} cannot be used here"
    return _answer(kind(message), HTTPStatus(error.status_code), dict(error.headers or {}))


async def _on_disconnect(_request: Request, _error: Exception) -> Response:
    return _answer(Mistake("the request ended before its body did"), HTTPStatus.BAD_REQUEST, {})


def _answer(error: GristmillError, status: HTTPStatus, headers: dict[str, str]) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": type(error).__name__,
        "status": int(status),
        "detail": error.message,
        "error": {"class": type(error).__name__, "message": error.message, "detail": error.detail},
    }
    if isinstance(error, InvalidDocument):
        faults = getattr(error, "faults", ())
        body["faults"] = [{"field": fault.field, "message": fault.message, "line": fault.line} for fault in faults]
    # ASCII alone: a message may quote what cannot be written as UTF-8, half a surrogate pair.
    return Response(json.dumps(body), status_code=int(status), headers=headers, media_type=MEDIA_TYPE)


def _headers(error: GristmillError) -> dict[str, str]:
    if isinstance(error, Unauthorized):
        return {"WWW-Authenticate": 'Bearer realm="gristmill"'}
    if isinstance(error, TooManyRequests):
        return {"Retry-After": "1"}
    return {}


def _fault(fault: dict[str, Any]) -> str:
    """Return one of the validator's faults in one line: where, what was given, and how to mend it."""
    place: Sequence[Any] = fault.get("loc", ())
    name = ".".join(str(part) for part in place[1:]) or str(place[0] if place else "request")
    message = _WORDS.get(fault["type"]) or str(fault["msg"]).removeprefix("Value error, ")
    if fault["type"] in ("missing", "value_error"):
        return f"{name}: {message}"
    return f"{name}: {shown(repr(fault.get('input')))}: {message[:1].lower()}{message[1:]}"


def shown(text: str) -> str:
    """Return a text of the request fit for one line: short, and with nothing that cannot be printed."""
    short = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    return short if short.isprintable() else short.encode("unicode_escape", "backslashreplace").decode("ascii")
