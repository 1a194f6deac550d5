"""Who asks, and where, as a proxy says: believed of named proxies alone."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from gristmill_scheduler.http.failures import Failures
from gristmill_scheduler.http.forwarded import Proxies
from gristmill_scheduler.http.services import About

OWN = "http://localhost:8890"
OURS = Proxies.read(["10.0.0.0/8", "fd00::/8"])
SAID = {"x-forwarded-proto": "https", "x-forwarded-host": "ml.example", "x-forwarded-for": "203.0.113.7"}


@pytest.fixture
def behind(make_world: Any) -> Any:
    """Return a world and what asks it from a peer's address."""

    def make(*, fixed: bool = False, **options: Any) -> Any:
        world = make_world(about=About(url=OWN, fixed=fixed), **{"proxies": OURS, **options})
        for name in ("a", "b"):
            world.services.endpoints.put(name, {})

        def ask(path: str, headers: Mapping[str, str], peer: str = "10.0.0.9", token: str | None = None) -> Any:
            client = type(world.client)(world.app, base_url=OWN, client=(peer, 50_000))
            given = {"authorization": f"Bearer {token}"} if token else {}
            return client.request("GET" if path != "/tokens" else "POST", path, headers={**headers, **given})

        return world, ask

    return make


@pytest.mark.parametrize(
    ("headers", "peer", "address"),
    [
        (SAID, "10.0.0.9", "https://ml.example"),
        (SAID, "fd00::1", "https://ml.example"),
        (SAID, "::ffff:10.0.0.9", "https://ml.example"),
        (SAID, "203.0.113.1", OWN),
        ({}, "10.0.0.9", OWN),
        ({"x-forwarded-proto": "https", "host": "ml.example:8443"}, "10.0.0.9", "https://ml.example:8443"),
        ({"x-forwarded-host": "evil.example, ml.example"}, "10.0.0.9", "http://ml.example"),
        ({**SAID, "x-forwarded-proto": "javascript"}, "10.0.0.9", OWN),
        ({**SAID, "x-forwarded-host": "ml.example/path?"}, "10.0.0.9", OWN),
    ],
)
def test_addresses_lead_where_the_request_was_sent_if_a_named_proxy_says_so(
    behind: Any, headers: Mapping[str, str], peer: str, address: str
) -> None:
    world, ask = behind()
    answer = ask("/batchEndpoints?limit=1", headers, peer, world.token("reader"))
    assert answer.json()["nextLink"].startswith(f"{address}/batchEndpoints?")


def test_the_public_url_is_the_address_whatever_a_proxy_says(behind: Any) -> None:
    world, ask = behind(fixed=True)
    answer = ask("/batchEndpoints?limit=1", SAID, token=world.token("reader"))
    assert answer.json()["nextLink"].startswith(f"{OWN}/")


def test_without_named_proxies_the_headers_are_passed_over(behind: Any) -> None:
    world, ask = behind(proxies=None)
    answer = ask("/batchEndpoints?limit=1", SAID, token=world.token("reader"))
    assert answer.json()["nextLink"].startswith(f"{OWN}/")


@pytest.mark.parametrize(
    ("said", "peer", "who"),
    [
        ("203.0.113.7", "10.0.0.9", "203.0.113.7"),
        ("203.0.113.7, 10.1.1.1", "10.0.0.9", "203.0.113.7"),
        ("198.51.100.1, 203.0.113.7", "10.0.0.9", "203.0.113.7"),
        ("203.0.113.7:4711", "10.0.0.9", "203.0.113.7"),
        ("[2001:db8::1]:4711", "10.0.0.9", "2001:db8::1"),
        ("10.1.1.1", "10.0.0.9", "10.1.1.1"),
        ("203.0.113.7, unknown", "10.0.0.9", "10.0.0.9"),
        ("", "10.0.0.9", "10.0.0.9"),
        ("203.0.113.7", "198.51.100.2", "198.51.100.2"),
    ],
)
def test_the_audit_names_who_asked_and_not_what_they_wrote(behind: Any, said: str, peer: str, who: str) -> None:
    world, ask = behind()
    ask("/tokens", {"x-forwarded-for": said}, peer, world.token("owner"))
    [file] = world.audit.iterdir()
    assert json.loads(file.read_text().splitlines()[-1])["from"] == who


def test_failures_are_counted_for_who_asked_and_cannot_be_passed_on_to_others(behind: Any) -> None:
    _, ask = behind(failures=Failures(burst=2, rate=0.001))
    statuses = [ask("/info", {"x-forwarded-for": f"198.51.100.{n}, 203.0.113.7"}).status_code for n in range(4)]
    assert statuses == [401, 401, 429, 429], "what the caller wrote in front counts for nothing"
    assert ask("/info", {"x-forwarded-for": "203.0.113.8"}).status_code == 401
    direct = [ask("/info", {"x-forwarded-for": f"198.51.100.{n}"}, "203.0.113.9").status_code for n in range(4)]
    assert direct == [401, 401, 429, 429], "nor does it of a peer that is no proxy"
