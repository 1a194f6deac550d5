"""Resources that are found by a name, and assets that are found by a name and a version: one builder for each kind."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.responses import Response

from gristmill_scheduler.http.answers import gone, show
from gristmill_scheduler.http.auth import OWNER, READER, Caller
from gristmill_scheduler.http.bodies import JsonBody, body_schema
from gristmill_scheduler.http.etags import Expected
from gristmill_scheduler.http.names import Name, Version
from gristmill_scheduler.http.openapi import Acted, Document, Documents
from gristmill_scheduler.http.paging import PageAsked, names_page
from gristmill_scheduler.http.services import Named, VersionedAssets

_CREATED: dict[int | str, dict[str, Any]] = {201: {"description": "It was made", "model": Document}}

#: Which of the archived ones a list holds.
Archived = Annotated[Literal["exclude", "only", "include"], Query(description="Which of the archived ones to list.")]


def named_router(path: str, word: str, resources: Named) -> APIRouter:
    """Return the routes of resources that a name finds.

    Args:
        path: what their paths begin with, as "datastores".
        word: what operation ids and summaries call one, as "datastore".
        resources: the resources.

    """
    router = APIRouter(prefix=f"/{path}", tags=[path])
    body = body_schema(f"A {word}, with the keys of its YAML file.")

    @router.get(
        "", operation_id=f"{word}_list", summary=f"List {path}", dependencies=[READER], response_model=Documents
    )
    def list_named(page: PageAsked) -> Any:
        return names_page(page, [each.document for each in resources.list()])

    @router.get(
        "/{name}",
        operation_id=f"{word}_show",
        summary=f"Show {_one(word)}",
        dependencies=[READER],
        response_model=Document,
    )
    def show_named(name: Name) -> Response:
        return show(resources.get(name))

    @router.put(
        "/{name}",
        operation_id=f"{word}_create_or_update",
        summary=f"Make or replace {_one(word)}",
        dependencies=[OWNER],
        response_model=Document,
        responses=_CREATED,
        openapi_extra=body,
    )
    def put_named(name: Name, expected: Expected, body: JsonBody, caller: Caller) -> Response:
        return show(resources.put(name, body, expected=expected, by=caller.name))

    @router.delete(
        "/{name}",
        operation_id=f"{word}_delete",
        summary=f"Delete {_one(word)}",
        dependencies=[OWNER],
        status_code=204,
    )
    def delete_named(name: Name, expected: Expected, caller: Caller) -> Response:
        resources.delete(name, expected=expected, by=caller.name)
        return gone()

    return router


def assets_router(path: str, word: str, assets: VersionedAssets) -> APIRouter:
    """Return the routes of versioned assets; see `named_router`."""
    router = APIRouter(prefix=f"/{path}", tags=[path])
    _add_reading(router, word, assets)
    _add_changing(router, word, assets)
    _add_archiving(router, word, assets)
    return router


def _add_reading(router: APIRouter, word: str, assets: VersionedAssets) -> None:
    @router.get(
        "",
        operation_id=f"{word}_list",
        summary=f"List the latest version of each {word}",
        dependencies=[READER],
        response_model=Documents,
    )
    def list_assets(page: PageAsked, archived: Archived = "exclude") -> Any:
        return names_page(page, [each.document for each in assets.list(archived=archived)])

    @router.get(
        "/{name}/versions",
        operation_id=f"{word}_list_versions",
        summary=f"List the versions of one {word}, the newest first",
        dependencies=[READER],
        response_model=Documents,
    )
    def list_versions(name: Name, page: PageAsked, archived: Archived = "exclude") -> Any:
        documents = [each.document for each in assets.versions(name, archived=archived)]
        return page.follow(documents, key="version")

    @router.get(
        "/{name}/versions/{version}",
        operation_id=f"{word}_show",
        summary=f"Show a version of {_one(word)}",
        dependencies=[READER],
        response_model=Document,
    )
    def show_version(name: Name, version: Version) -> Response:
        return show(assets.get(name, version))

    @router.get(
        "/{name}/labels/{label}",
        operation_id=f"{word}_show_label",
        summary=f"Show the version of {_one(word)} that has a label",
        dependencies=[READER],
        response_model=Document,
    )
    def show_label(name: Name, label: Name) -> Response:
        return show(assets.labelled(name, label))


def _add_changing(router: APIRouter, word: str, assets: VersionedAssets) -> None:
    body = body_schema(f"A {word}, with the keys of its YAML file.")

    @router.post(
        "/{name}",
        operation_id=f"{word}_create",
        summary=f"Make the next version of {_one(word)}",
        dependencies=[OWNER],
        status_code=201,
        response_model=Document,
        openapi_extra=body,
    )
    def add(name: Name, body: JsonBody, caller: Caller) -> Response:
        return show(assets.add(name, body, by=caller.name))

    @router.put(
        "/{name}/versions/{version}",
        operation_id=f"{word}_create_or_update",
        summary=f"Make a version of {_one(word)}, or change its description, tags and properties",
        dependencies=[OWNER],
        response_model=Document,
        responses=_CREATED,
        openapi_extra=body,
    )
    def put_version(name: Name, version: Version, expected: Expected, body: JsonBody, caller: Caller) -> Response:
        return show(assets.put(name, version, body, expected=expected, by=caller.name))

    @router.delete(
        "/{name}/versions/{version}",
        operation_id=f"{word}_delete",
        summary=f"Delete a version of {_one(word)}",
        dependencies=[OWNER],
        status_code=204,
    )
    def delete_version(name: Name, version: Version, expected: Expected, caller: Caller) -> Response:
        assets.delete(name, version, expected=expected, by=caller.name)
        return gone()


def _add_archiving(router: APIRouter, word: str, assets: VersionedAssets) -> None:
    def add(action: str, *, archived: bool) -> None:
        verb = "Hide" if archived else "Show again"

        @router.post(
            f"/{{name}}/{action}",
            operation_id=f"{word}_{action}_all",
            summary=f"{verb} all versions of {_one(word)} in lists",
            dependencies=[OWNER],
            response_model=Acted,
        )
        def all_versions(name: Name, caller: Caller) -> Any:
            return {"value": [each.document for each in assets.archive(name, None, archived, by=caller.name)]}

        @router.post(
            f"/{{name}}/versions/{{version}}/{action}",
            operation_id=f"{word}_{action}",
            summary=f"{verb} a version of {_one(word)} in lists",
            dependencies=[OWNER],
            response_model=Document,
        )
        def one_version(name: Name, version: Version, caller: Caller) -> Response:
            return show(assets.archive(name, version, archived, by=caller.name)[0])

    add("archive", archived=True)
    add("restore", archived=False)


def _one(word: str) -> str:
    return {"data": "a data asset", "environment": "an environment"}.get(word, f"a {word}")
