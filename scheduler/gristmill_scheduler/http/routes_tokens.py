"""/tokens: made and shown once, listed without their secrets, deleted."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel
from starlette.responses import JSONResponse, Response

from gristmill_scheduler.http.answers import gone
from gristmill_scheduler.http.auth import OWNER, Caller
from gristmill_scheduler.http.bodies import JsonBody
from gristmill_scheduler.http.names import Name
from gristmill_scheduler.http.openapi import Documents
from gristmill_scheduler.http.paging import PageAsked
from gristmill_scheduler.http.tokens import Grant, Tokens


class NewToken(BaseModel):
    """A token; it is shown this once."""

    id: str
    token: str


_GRANT: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["name", "roles"],
                    "additionalProperties": False,
                    "properties": {
                        "name": {"type": "string", "description": "What audit lines call its bearer."},
                        "roles": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string", "enum": ["reader", "invoker", "owner"]},
                        },
                        "endpoints": {
                            "type": "array",
                            "minItems": 1,
                            "items": {"type": "string"},
                            "default": ["*"],
                            "description": "The endpoints that it sees; * for all.",
                        },
                        "expires_in": {
                            "type": ["number", "null"],
                            "exclusiveMinimum": 0,
                            "description": "Seconds; null: it never expires.",
                        },
                    },
                }
            }
        },
    }
}


def tokens_router(tokens: Tokens) -> APIRouter:
    """Return the routes of tokens."""
    router = APIRouter(prefix="/tokens", tags=["tokens"])

    @router.get("", operation_id="token_list", dependencies=[OWNER], response_model=Documents)
    def list_tokens(page: PageAsked) -> Any:
        """List the tokens, without their secrets."""
        entries, last = page.cut(tokens.list(), key=lambda token: str(token["id"]))
        return page.answer(entries, last)

    @router.post(
        "",
        operation_id="token_create",
        dependencies=[OWNER],
        status_code=201,
        response_model=NewToken,
        openapi_extra=_GRANT,
    )
    def make_token(body: JsonBody, caller: Caller) -> Response:
        """Make a token; nobody can show it again."""
        name, token = tokens.make(Grant.read(body), by=caller.name)
        headers = {"Cache-Control": "no-store", "Location": f"/tokens/{name}"}
        return JSONResponse({"id": name, "token": token}, status_code=201, headers=headers)

    @router.delete("/{name}", operation_id="token_delete", dependencies=[OWNER], status_code=204)
    def delete_token(name: Name) -> Response:
        """Delete a token: it stops working within seconds."""
        tokens.delete(name)
        return gone()

    return router
