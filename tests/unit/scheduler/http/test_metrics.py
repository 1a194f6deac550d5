"""Who may scrape, and what is answered."""

from __future__ import annotations

from typing import Any

import pytest

from gristmill_scheduler.http.routes_metrics import metrics_router


@pytest.fixture
def scraped(make_world: Any) -> Any:
    return make_world(more=[metrics_router(lambda accept: (f"accepts {accept}\n".encode(), "text/x-test; version=7"))])


def test_a_reader_of_all_endpoints_may_scrape(scraped: Any) -> None:
    answer = scraped.ask("GET", "/metrics", scraped.token("reader"), headers={"accept": "a/b"})
    assert (answer.status_code, answer.text) == (200, "accepts a/b\n")
    assert answer.headers["content-type"] == "text/x-test; version=7"


def test_nobody_else_may(scraped: Any) -> None:
    assert scraped.ask("GET", "/metrics").status_code == 401
    some = scraped.ask("GET", "/metrics", scraped.token("owner", endpoints=("mine",)))
    assert (some.status_code, "for all endpoints" in some.text) == (403, True)
