"""What the server says of itself."""

from __future__ import annotations

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import gristmill
from gristmill import versions
from gristmill.errors import LedgerFailed
from gristmill.machine import machine_id
from gristmill_scheduler.http.registry_sign import FRESH_SECONDS, RegistrySign, answers
from gristmill_scheduler.http.services import About


def test_anyone_may_ask_whether_it_lives(world: Any) -> None:
    assert world.ask("GET", "/health").json() == {"status": "ok"}


def test_it_says_what_it_is_and_who_asks(make_world: Any) -> None:
    world = make_world(about=About(url="http://localhost", allowed_roots=("/data",)))

    assert world.ask("GET", "/info", world.token("invoker", name="ann")).json() == {
        "version": gristmill.__version__,
        "protocol": versions.PROTOCOL,
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


def test_it_says_its_version_and_which_nodes_cannot_work_for_it(make_world: Any) -> None:
    told = versions.PROTOCOL + 2
    nodes: list[dict[str, Any]] = [
        {"name": "n1", "host": "new", "version": "9.9", "protocol": told, "running": []},
        {"name": "n2", "host": "old"},
        {"name": "n3", "protocol": versions.PROTOCOL + 1, "refuses": "job secret: no", "running": []},
    ]
    world = make_world(services={"nodes": lambda: nodes})

    status = world.ask("GET", "/status", world.token("owner")).json()

    assert (status["version"], status["protocol"]) == (gristmill.__version__, versions.PROTOCOL)
    new, old, refusing = status["nodes"]
    assert new["problem"].startswith(f"node new (Gristmill 9.9) is of protocol {told}, and this server")
    assert new["problem"].endswith("upgrade this server")
    assert "problem" not in old
    assert refusing["problem"] == "job secret: no"
    seen = world.ask("GET", "/status", world.token("reader", endpoints=("mine",))).json()["nodes"]
    assert "secret" not in str(seen)


def test_it_answers_while_the_redis_server_is_away(make_world: Any) -> None:
    def away() -> Any:
        raise LedgerFailed("redis://x: refused")

    world = make_world(services={"nodes": away}, insecure_local=True)

    status = world.ask("GET", "/status").json()

    assert (status["redis"], status["nodes"], status["queues"]) == (False, [], [])
    assert status["jobs"] == {"Running": 3}


def test_it_says_where_models_are_registered_without_the_password(make_world: Any) -> None:
    seen: list[str] = []
    sign = RegistrySign("https://ann:pw@mlflow.example/x", look=lambda uri: bool(seen.append(uri)) or True)
    world = make_world(services={"registry": sign}, insecure_local=True)
    deadline = time.monotonic() + 5
    while (said := world.ask("GET", "/status").json()["registry"])["answers"] is None:
        assert time.monotonic() < deadline
    assert said["answers"] is True
    assert "pw" not in said["address"]
    assert said["address"].endswith("mlflow.example/x")
    assert len(seen) == 1
    assert make_world(insecure_local=True).ask("GET", "/status").json()["registry"] is None


def test_a_registry_that_hangs_holds_nobody_up_and_is_asked_by_one_at_a_time() -> None:
    go, calls, now = threading.Event(), [], [0.0]

    def hang(uri: str) -> bool:
        calls.append(uri)
        return go.wait(10)

    sign = RegistrySign("http://away", look=hang, clock=lambda: now[0])
    began = time.monotonic()
    for _ in range(50):
        assert (sign() or {})["answers"] is None
    assert time.monotonic() - began < 1
    go.set()
    while (sign() or {})["answers"] is None:
        assert time.monotonic() - began < 5
    assert len(calls) == 1
    now[0] += FRESH_SECONDS
    while len(calls) == 1:
        sign()
        assert time.monotonic() - began < 5


def test_each_kind_of_registry_is_asked_in_its_way(tmp_path: Path) -> None:
    class Health(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response({"/health": 200, "/guarded/health": 401}.get(self.path, 502))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Health) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        asked = [answers(url), answers(f"{url}/guarded/"), answers(f"{url}/broken")]
        tcp = answers(f"postgresql://ann:pw@127.0.0.1:{server.server_port}/db")
        server.shutdown()
    assert (asked, tcp) == ([True, True, False], True)
    assert not answers(f"postgresql://127.0.0.1:{server.server_port}/db")
    assert answers("http://a:port/") is False
    assert answers(f"sqlite:///{tmp_path}/mlflow/mlflow.db") is True
    (tmp_path / "file").touch()
    assert answers(f"sqlite:///{tmp_path}/file/mlflow.db") is False
    assert answers("databricks") in (False, True, None)


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
