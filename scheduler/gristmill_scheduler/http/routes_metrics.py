"""GET /metrics: what Prometheus scrapes, with the token of a reader of all endpoints in its `credentials_file`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from fastapi import APIRouter, Request, Response

from gristmill_scheduler.http.auth import require

#: What it may be answered in; Prometheus chooses by the header `accept`.
_TEXT: Final = {"schema": {"type": "string"}}
_KINDS: Final = ("text/plain", "application/openmetrics-text")


def metrics_router(write: Callable[[str], tuple[bytes, str]]) -> APIRouter:
    """Return the route; `write` takes the header `accept` and returns the text and its media type.

    Series name jobs, endpoints and nodes of all, so that a token for some endpoints does not do.
    """
    router = APIRouter(tags=["metrics"])
    answers: dict[int | str, dict[str, Any]] = {
        200: {"description": "All series that this server tells", "content": dict.fromkeys(_KINDS, _TEXT)}
    }

    @router.get(
        "/metrics",
        operation_id="metrics",
        dependencies=[require("reader", shared=True)],
        response_class=Response,
        responses=answers,
    )
    def metrics(request: Request) -> Response:
        """Tell Prometheus of jobs, nodes and the Redis server."""
        text, kind = write(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": kind})

    return router
