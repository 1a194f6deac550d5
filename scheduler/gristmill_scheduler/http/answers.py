"""How a resource is answered: its document, its ETag, and 201 where it was made."""

from __future__ import annotations

from http import HTTPStatus

from starlette.responses import JSONResponse, Response

from gristmill_scheduler.http.etags import etag
from gristmill_scheduler.resources.shown import Shown


def show(shown: Shown) -> JSONResponse:
    """Answer with a resource."""
    status = HTTPStatus.CREATED if shown.created else HTTPStatus.OK
    return JSONResponse(shown.document, status_code=status, headers={"ETag": etag(shown.version)})


def gone() -> Response:
    """Answer that a resource was deleted."""
    return Response(status_code=HTTPStatus.NO_CONTENT)
