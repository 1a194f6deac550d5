"""The application: every route, behind the gate and the audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI

import gristmill
from gristmill_scheduler.http.audit import Audit, AuditLog
from gristmill_scheduler.http.auth import Guard
from gristmill_scheduler.http.bodies import MOST_JSON_BYTES
from gristmill_scheduler.http.forwarded import Forwarded, Proxies
from gristmill_scheduler.http.gate import PUBLIC, Gate, Sizes
from gristmill_scheduler.http.openapi import RESPONSES, describe
from gristmill_scheduler.http.problems import install
from gristmill_scheduler.http.routes_endpoints import deployments_router, endpoints_router
from gristmill_scheduler.http.routes_resources import assets_router, named_router
from gristmill_scheduler.http.routes_status import status_router
from gristmill_scheduler.http.routes_tokens import tokens_router
from gristmill_scheduler.http.routes_uploads import uploads_router
from gristmill_scheduler.http.services import About, Services

_DESCRIPTION = "Batch inference on your own machines: endpoints, deployments, and jobs."


class _App(FastAPI):
    """FastAPI with our own OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document."""
        return describe(self, public=PUBLIC)


def build_app(
    services: Services,
    guard: Guard,
    *,
    about: About,
    audit_log: AuditLog,
    proxies: Proxies | None = None,
    more: Sequence[APIRouter] = (),
) -> FastAPI:
    """Return the application.

    Args:
        services: the objects behind the routes.
        guard: who finds out who asks.
        about: what the server says of itself and what it bounds.
        audit_log: where the line for each change goes.
        proxies: whose word is taken for where requests come from; None: nobody's.
        more: further routes, as those of jobs.

    """
    app = _App(
        title="Gristmill",
        version=gristmill.__version__,
        description=_DESCRIPTION,
        # Pages that show the routes would fetch their scripts from elsewhere.
        docs_url=None,
        redoc_url=None,
        # A redirect is made of the host that a request names.
        redirect_slashes=False,
        responses=RESPONSES,
    )
    app.state.address = about.address
    for router in [*_routers(services, guard, about), *more]:
        app.include_router(router)
    install(app)
    # The last one added is the outermost.
    app.add_middleware(Audit, audit_log=audit_log)
    app.add_middleware(Gate, guard=guard, sizes=Sizes(upload=about.most_upload_bytes, other=MOST_JSON_BYTES))
    app.add_middleware(Forwarded, proxies=proxies or Proxies())
    return app


def _routers(services: Services, guard: Guard, about: About) -> list[APIRouter]:
    return [
        status_router(services, about),
        endpoints_router(services),
        deployments_router(services),
        assets_router("models", "model", services.models),
        assets_router("data", "data", services.data),
        assets_router("environments", "environment", services.environments),
        named_router("datastores", "datastore", services.datastores),
        named_router("computes", "compute", services.computes),
        uploads_router(services, about),
        tokens_router(guard.tokens),
    ]
