"""/batchEndpoints and their deployments."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from gristmill_scheduler.http.answers import gone, show
from gristmill_scheduler.http.auth import OWNER_OF_ENDPOINT, READER, Caller
from gristmill_scheduler.http.bodies import JsonBody, body_schema
from gristmill_scheduler.http.etags import Expected
from gristmill_scheduler.http.names import Deployment, Endpoint
from gristmill_scheduler.http.openapi import Document, Documents
from gristmill_scheduler.http.paging import PageAsked, names_page
from gristmill_scheduler.http.services import Services

_ENDPOINT_BODY = body_schema("An endpoint, with the keys of its YAML file.")
_DEPLOYMENT_BODY = body_schema("A deployment, with the keys of its YAML file, in any of its forms.")
_CREATED: dict[int | str, dict[str, Any]] = {201: {"description": "It was made", "model": Document}}


def endpoints_router(services: Services) -> APIRouter:
    """Return the routes of endpoints."""
    router = APIRouter(prefix="/batchEndpoints", tags=["batch endpoints"])
    endpoints = services.endpoints

    @router.get("", operation_id="batch_endpoint_list", dependencies=[READER], response_model=Documents)
    def list_endpoints(page: PageAsked, caller: Caller) -> Any:
        """List the endpoints that the caller sees."""
        documents = [each.document for each in endpoints.list() if caller.sees(each.document["name"])]
        return names_page(page, documents)

    @router.get("/{endpoint}", operation_id="batch_endpoint_show", dependencies=[READER], response_model=Document)
    def show_endpoint(endpoint: Endpoint) -> Response:
        """Show an endpoint."""
        return show(endpoints.get(endpoint))

    @router.put(
        "/{endpoint}",
        operation_id="batch_endpoint_create_or_update",
        dependencies=[OWNER_OF_ENDPOINT],
        response_model=Document,
        responses=_CREATED,
        openapi_extra=_ENDPOINT_BODY,
    )
    def put_endpoint(endpoint: Endpoint, expected: Expected, body: JsonBody, caller: Caller) -> Response:
        """Make or replace an endpoint."""
        return show(endpoints.put(endpoint, body, expected=expected, by=caller.name))

    @router.delete(
        "/{endpoint}", operation_id="batch_endpoint_delete", dependencies=[OWNER_OF_ENDPOINT], status_code=204
    )
    def delete_endpoint(endpoint: Endpoint, expected: Expected, caller: Caller) -> Response:
        """Delete an endpoint and its deployments."""
        endpoints.delete(endpoint, expected=expected, by=caller.name)
        return gone()

    return router


def deployments_router(services: Services) -> APIRouter:
    """Return the routes of deployments."""
    router = APIRouter(prefix="/batchEndpoints/{endpoint}/deployments", tags=["batch deployments"])
    deployments = services.deployments

    @router.get("", operation_id="batch_deployment_list", dependencies=[READER], response_model=Documents)
    def list_deployments(endpoint: Endpoint, page: PageAsked) -> Any:
        """List the deployments of an endpoint."""
        return names_page(page, [each.document for each in deployments.list(endpoint)])

    @router.get("/{deployment}", operation_id="batch_deployment_show", dependencies=[READER], response_model=Document)
    def show_deployment(endpoint: Endpoint, deployment: Deployment) -> Response:
        """Show a deployment."""
        return show(deployments.get(endpoint, deployment))

    @router.put(
        "/{deployment}",
        operation_id="batch_deployment_create_or_update",
        dependencies=[OWNER_OF_ENDPOINT],
        response_model=Document,
        responses=_CREATED,
        openapi_extra=_DEPLOYMENT_BODY,
    )
    def put_deployment(
        endpoint: Endpoint,
        deployment: Deployment,
        expected: Expected,
        body: JsonBody,
        caller: Caller,
        *,
        set_default: Annotated[bool, Query(description="Let the endpoint invoke it from now on.")] = False,
        skip_script_validation: Annotated[bool, Query(description="Do not look at the scoring script.")] = False,
    ) -> Response:
        """Make or replace a deployment."""
        made = deployments.put(
            endpoint,
            deployment,
            body,
            expected=expected,
            by=caller.name,
            set_default=set_default,
            skip_script_validation=skip_script_validation,
        )
        return show(made)

    @router.delete(
        "/{deployment}", operation_id="batch_deployment_delete", dependencies=[OWNER_OF_ENDPOINT], status_code=204
    )
    def delete_deployment(endpoint: Endpoint, deployment: Deployment, expected: Expected, caller: Caller) -> Response:
        """Delete a deployment."""
        deployments.delete(endpoint, deployment, expected=expected, by=caller.name)
        return gone()

    return router
