"""What the server says of itself."""

from __future__ import annotations

from typing import Any

import gristmill
from gristmill.errors import LedgerFailed
from gristmill.machine import machine_id
from gristmill_scheduler.http.services import About


def test_anyone_may_ask_whether_it_lives(world: Any) -> None:
    assert world.ask("GET", "/health").json() == {"status": "ok"}


def test_it_says_what_it_is_and_who_asks(make_world: Any) -> None:
    world = make_world(about=About(url="http://localhost", allowed_roots=("/data",)))

    assert world.ask("GET", "/info", world.token("invoker", name="ann")).json() == {
        "version": gristmill.__version__,
        "api": 1,
        "machine": machine_id(),
        "user": "ann",
        "role": "invoker",
        "allowed_roots": ["/data"],
    }


def test_it_says_which_nodes_live_and_what_waits(make_world: Any) -> None:
    nodes = [{"name": "n1", "compute": "gpu", "running": ["mine-1", "other-1", "gone", None]}, {"name": "n2"}]
    world = make_world(services={"nodes": lambda: nodes, "waiting": {"gpu": 3, "cpu": 0}.__getitem__})
    world.ask("PUT", "/computes/cpu", world.token("owner"), json={})

    status = world.ask("GET", "/status", world.token("reader", endpoints=("mine",))).json()

    hidden = "another endpoint's"
    assert status["nodes"] == [{**nodes[0], "running": ["mine-1", hidden, hidden, None]}, {"name": "n2"}]
    assert world.ask("GET", "/status", world.token("reader")).json()["nodes"] == nodes
    assert status["queues"] == [{"compute": "cpu", "waiting": 0}, {"compute": "gpu", "waiting": 3}]
    assert status["jobs"] == {"Running": 2}
    assert status["redis"] is True


def test_it_answers_while_the_redis_server_is_away(make_world: Any) -> None:
    def away() -> Any:
        raise LedgerFailed("redis://x: refused")

    world = make_world(services={"nodes": away}, insecure_local=True)

    status = world.ask("GET", "/status").json()

    assert (status["redis"], status["nodes"], status["queues"]) == (False, [], [])
    assert status["jobs"] == {"Running": 3}


def test_it_describes_itself_to_anyone(world: Any) -> None:
    document = world.ask("GET", "/openapi.json").json()

    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert document["paths"]["/health"]["get"]["security"] == []
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    for operation in operations:
        assert operation["summary"]
        assert "422" not in operation["responses"]
        assert "application/problem+json" in operation["responses"]["401"]["content"]
