"""Who may do what: no route without a check, roles, endpoints, insecure-local, failures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

from gristmill.settings import ProcessSettings
from gristmill_scheduler.http.auth import Caller, Guard, Require
from gristmill_scheduler.http.failures import Failures
from gristmill_scheduler.http.gate import PUBLIC
from gristmill_scheduler.http.services import About
from gristmill_scheduler.http.tokens import Tokens
from gristmill_scheduler.server import Server
from gristmill_storage.files import MemoryStore
from gristmill_storage.workspace import Workspace


def walk(routes: list[BaseRoute]) -> Iterator[Any]:
    for route in routes:
        inner = getattr(route, "original_router", None)
        if inner is None:
            yield route
        else:
            yield from walk(inner.routes)


def unguarded(app: Any) -> list[str]:
    """The routes that anyone may ask, by their own account."""
    found = []
    for route in walk(app.routes):
        checks = [each.call for each in route.dependant.dependencies] if isinstance(route, APIRoute) else []
        if not any(isinstance(check, Require) for check in checks):
            found.append(route.path)
    return found


@pytest.fixture(scope="module")
def whole() -> FastAPI:
    """The application as the server has it: resources, jobs, metrics."""
    workspace = Workspace(MemoryStore())
    guard = Guard(Tokens(workspace.documents("tokens")), failures=Failures(burst=1000))
    return Server(ProcessSettings.read({"GRISTMILL_REDIS_URL": "redis://"}), workspace, guard, about=About(url="")).app


def test_every_route_has_a_check_but_the_public_ones(whole: FastAPI) -> None:
    assert set(unguarded(whole)) == set(PUBLIC)


def test_the_walk_over_the_routes_misses_none(whole: FastAPI) -> None:
    operations = sum(len(path) for path in whole.openapi()["paths"].values())

    assert len([route for route in walk(whole.routes) if isinstance(route, APIRoute)]) == operations > 70


def test_a_route_without_a_check_is_found(make_world: Any) -> None:
    router = APIRouter()

    @router.get("/open")
    def everyone() -> None:
        pass

    assert "/open" in unguarded(make_world(more=[router]).app)


def test_every_route_but_the_public_ones_refuses_who_has_no_token(whole: FastAPI, world: Any) -> None:
    client = type(world.client)(whole, base_url=world.client.base_url)
    for route in walk(whole.routes):
        for method in route.methods:
            answer = client.request(method, route.path.replace("{", "").replace("}", ""))
            assert (answer.status_code == 200) if route.path in PUBLIC else (answer.status_code == 401), route.path


def test_a_path_that_is_not_there_tells_a_stranger_nothing(world: Any) -> None:
    assert world.ask("GET", "/nothing").status_code == 401
    assert world.ask("POST", "/health").status_code == 401


@pytest.mark.parametrize(
    ("method", "path", "least"),
    [
        ("GET", "/batchEndpoints", "reader"),
        ("GET", "/status", "reader"),
        ("PUT", "/batchEndpoints/e", "owner"),
        ("DELETE", "/models/m/versions/1", "owner"),
        ("POST", "/data/d", "owner"),
        ("PUT", "/computes/c", "owner"),
        ("GET", "/tokens", "owner"),
        ("POST", "/tokens", "owner"),
        ("PUT", f"/uploads/{'0' * 64}", "invoker"),
    ],
)
def test_a_route_takes_the_roles_that_it_says(world: Any, method: str, path: str, least: str) -> None:
    roles = ["reader", "invoker", "owner"]

    refused = [role for role in roles if world.ask(method, path, world.token(role)).status_code == 403]

    assert refused == roles[: roles.index(least)]


def test_a_token_is_kept_to_its_endpoints(world: Any) -> None:
    owner, kept = world.token("owner"), world.token("owner", endpoints=("Mine",))
    for name in ("mine", "other"):
        world.ask("PUT", f"/batchEndpoints/{name}", owner, json={})

    assert [each["name"] for each in world.ask("GET", "/batchEndpoints", kept).json()["value"]] == ["mine"]
    assert world.ask("GET", "/batchEndpoints/MINE", kept).status_code == 404  # names are the resources' business
    assert world.ask("PUT", "/batchEndpoints/mine", kept, json={}).status_code == 200
    for path in ("/batchEndpoints/other", "/batchEndpoints/none", "/batchEndpoints/other/deployments"):
        assert world.ask("GET", path, kept).status_code == 403


@pytest.mark.parametrize(("method", "path"), [("POST", "/tokens"), ("PUT", "/computes/c"), ("GET", "/tokens")])
def test_an_owner_of_some_endpoints_changes_nothing_that_all_share(world: Any, method: str, path: str) -> None:
    kept = world.token("owner", endpoints=("mine",))
    grant = {"name": "me", "roles": ["owner"]}

    answer = world.ask(method, path, kept, json=grant)

    assert answer.status_code == 403
    assert "needs one for all endpoints" in answer.json()["detail"]


def test_a_token_made_over_http_works_until_it_is_deleted(world: Any) -> None:
    owner = world.token("owner")
    made = world.ask("POST", "/tokens", owner, json={"name": "ci", "roles": ["invoker"], "expires_in": 60}).json()

    assert world.ask("GET", "/info", made["token"]).json()["user"] == "ci"
    listed = {token["id"]: token for token in world.ask("GET", "/tokens", owner).json()["value"]}
    assert listed[made["id"]]["roles"] == ["invoker"]
    assert "hash" not in str(listed)
    assert world.ask("DELETE", f"/tokens/{made['id']}", owner).status_code == 204
    assert world.ask("GET", "/info", made["token"]).status_code == 401
    assert world.ask("DELETE", f"/tokens/{made['id']}", owner).status_code == 404


def test_the_one_who_asks_is_known_to_the_route(make_world: Any) -> None:
    router = APIRouter()

    @router.get("/me", dependencies=[])
    def me(caller: Caller) -> dict[str, str]:
        return {"name": caller.name}

    world = make_world(more=[router])

    assert world.ask("GET", "/me", world.token("reader", name="ann")).json() == {"name": "ann"}


@pytest.mark.parametrize("header", ["", "Basic eDp5", "Bearer", "Bearer gm_0_1", "Bearer x.y.z", "gm_"])
def test_a_header_that_is_no_token_is_refused_in_words(world: Any, header: str) -> None:
    answer = world.ask("GET", "/info", headers={"authorization": header})

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["error"]["class"] == "Unauthorized"


def test_an_address_that_fails_too_often_is_told_to_wait_but_known_tokens_go_on(make_world: Any) -> None:
    world = make_world(failures=Failures(burst=2, rate=0.01))
    good, unseen = world.token("reader"), world.token("reader")
    assert world.ask("GET", "/info", good).status_code == 200

    statuses = [world.ask("GET", "/info", "gm_bad").status_code for _ in range(3)]
    last = world.ask("GET", "/info", "gm_bad")

    assert statuses == [401, 401, 429]
    assert last.status_code == 429
    assert last.json()["error"]["class"] == "TooManyRequests"
    assert 90 <= int(last.headers["retry-after"]) <= 100
    assert world.ask("GET", "/info", good).status_code == 200
    assert world.ask("GET", "/info", unseen).status_code == 429


def test_the_id_of_a_good_token_lets_nobody_try_its_secret_without_end(make_world: Any) -> None:
    world = make_world(failures=Failures(burst=2, rate=0.01))
    good = world.token("owner")
    assert world.ask("GET", "/info", good).status_code == 200
    prefix, name, secret = good.split("_", 2)
    guess = f"{prefix}_{name}_{'x' * len(secret)}"

    assert [world.ask("GET", "/info", guess).status_code for _ in range(4)] == [401, 401, 429, 429]
    assert world.ask("GET", "/info", good).status_code == 200


def test_with_insecure_local_everyone_of_this_machine_is_an_owner(make_world: Any) -> None:
    world = make_world(insecure_local=True)

    assert world.ask("PUT", "/computes/c", json={}).status_code == 201


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:8890"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ],
)
def test_with_insecure_local_a_page_of_another_site_reaches_nothing(make_world: Any, headers: dict[str, str]) -> None:
    world = make_world(insecure_local=True)

    assert world.ask("PUT", "/computes/c", json={}, headers=headers).status_code == 403
    assert world.services.computes.list() == []
