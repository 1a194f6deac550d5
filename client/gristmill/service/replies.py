"""What a reply says went wrong, as an error of our tree."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import httpx

from gristmill import errors
from gristmill.errors import GristmillError, ServerFailed

#: What a status means where no body of ours says it better.
_BY_STATUS: Final[Mapping[int, type[GristmillError]]] = {
    401: errors.Unauthorized,
    403: errors.Forbidden,
    409: errors.Conflict,
    412: errors.PreconditionFailed,
    413: errors.TooLarge,
    429: errors.TooManyRequests,
}

_FAILED: Final = 500
_NOT_FOUND: Final = 404


def error_of(response: httpx.Response, what: str) -> GristmillError:
    """Return the error that a reply, which has been read, stands for.

    Args:
        response: a reply that is no success.
        what: what was asked, as "GET http://host:port/jobs".

    """
    told = _told(response)
    if told is not None:
        return told
    said = f"{what}: answered {response.status_code} {response.reason_phrase}".rstrip()
    if response.is_redirect:
        return ServerFailed(f"{said}, to {_place(response)}; give the server's own address")
    kind = _BY_STATUS.get(response.status_code)
    if kind is not None:
        return kind(said)
    if response.status_code >= _FAILED:
        return ServerFailed(said, detail=response.text[:2000])
    return ServerFailed(
        f"{said}, not in a Gristmill server's words; is the address right?", detail=response.text[:2000]
    )


def document_of(response: httpx.Response, what: str) -> Any:
    """Return the JSON of a reply.

    Raises:
        ServerFailed: it is none.

    """
    try:
        return response.json()
    except ValueError:
        said = f"{what}: answered what is no JSON; is this the address of a Gristmill server?"
        raise ServerFailed(said, detail=response.text[:2000]) from None


def _told(response: httpx.Response) -> GristmillError | None:
    """Return the error that a body in our form holds."""
    try:
        body = response.json()
    except ValueError:
        return None
    said = body.get("error") if isinstance(body, dict) else None
    if not isinstance(said, dict) or not isinstance(said.get("message"), str):
        return None
    error = GristmillError.from_json(said)
    if response.status_code == _NOT_FOUND:
        error.exit_code = errors.NOT_THERE
    if type(error) is GristmillError and response.status_code >= _FAILED:
        return ServerFailed(error.message, detail=error.detail)
    return error


def _place(response: httpx.Response) -> str:
    """Return where a redirect leads, without what may be secret in it."""
    try:
        place = httpx.URL(response.headers.get("location", ""))
    except httpx.InvalidURL:
        return "nowhere"
    return (
        f"{place.scheme}://{place.netloc.decode('ascii', 'replace').rpartition('@')[2]}" if place.host else place.path
    )
