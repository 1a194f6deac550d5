"""How a resource is answered: its document, its ETag, and where it is when it was made."""

from __future__ import annotations

from http import HTTPStatus
from urllib.parse import quote

from starlette.responses import JSONResponse, Response

from gristmill_scheduler.http.etags import etag
from gristmill_scheduler.resources.shown import Shown


def show(shown: Shown) -> JSONResponse:
    """Answer with a resource."""
    headers = {"ETag": etag(shown.version)}
    if not shown.created:
        return JSONResponse(shown.document, headers=headers)
    headers["Location"] = quote(str(shown.document["id"]))
    return JSONResponse(shown.document, status_code=HTTPStatus.CREATED, headers=headers)


def gone() -> Response:
    """Answer that a resource was deleted."""
    return Response(status_code=HTTPStatus.NO_CONTENT)
