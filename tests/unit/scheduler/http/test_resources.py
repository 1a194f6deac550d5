"""Resources over HTTP: made, replaced, shown, listed in pages, deleted, with ETags."""

from __future__ import annotations

from typing import Any

import pytest

from gristmill.errors import Mistake, PreconditionFailed
from gristmill_scheduler.http.etags import expected_version
from gristmill_scheduler.http.paging import Page


@pytest.fixture
def owner(open_world: Any) -> Any:
    """Ask as an owner."""
    return open_world.ask


PLACES = ["/batchEndpoints/abc", "/batchEndpoints/abc/deployments/ddd", "/computes/c", "/datastores/d"]
ASSETS = ["models", "data", "environments"]


@pytest.mark.parametrize("place", [*PLACES, *(f"/{kind}/a/versions/1" for kind in ASSETS)])
def test_a_resource_is_made_replaced_shown_and_deleted(owner: Any, place: str) -> None:
    made = owner("PUT", place, json={"tags": {"a": "1"}})
    again = owner("PUT", place, json={"tags": {"a": "2"}})
    shown = owner("GET", place)

    assert (made.status_code, made.headers["etag"]) == (201, '"1"')
    assert (again.status_code, again.headers["etag"]) == (200, '"2"')
    assert (shown.json()["tags"], shown.headers["etag"]) == ({"a": "2"}, '"2"')
    assert owner("DELETE", place).status_code == 204
    assert owner("GET", place).status_code == owner("DELETE", place).status_code == 404


def test_a_lost_update_is_refused(owner: Any) -> None:
    owner("PUT", "/computes/c", json={})
    owner("PUT", "/computes/c", json={})

    refused = owner("PUT", "/computes/c", json={}, headers={"if-match": '"1"'})
    done = owner("PUT", "/computes/c", json={}, headers={"if-match": '"2"'})

    assert (refused.status_code, refused.json()["error"]["class"]) == (412, "PreconditionFailed")
    assert (done.status_code, done.headers["etag"]) == (200, '"3"')


def test_what_must_not_be_there_yet_is_made_once(owner: Any) -> None:
    headers = {"if-none-match": "*"}

    statuses = [owner("PUT", "/computes/c", json={}, headers=headers).status_code for _ in range(2)]

    assert statuses == [201, 409]


@pytest.mark.parametrize(
    ("headers", "wrong"),
    [
        ({"if-match": '"0"'}, PreconditionFailed),
        ({"if-match": "3"}, PreconditionFailed),
        ({"if-match": 'W/"3"'}, PreconditionFailed),
        ({"if-match": '"x"'}, PreconditionFailed),
        ({"if-match": f'"{"9" * 99}"'}, PreconditionFailed),
        ({"if-match": '"\u0663"'}, PreconditionFailed),
        ({"if-match": "*"}, Mistake),
        ({"if-match": '"1", "2"'}, Mistake),
        ({"if-none-match": '"1"'}, Mistake),
        ({"if-match": '"1"', "if-none-match": "*"}, Mistake),
    ],
)
def test_a_tag_that_cannot_be_used_changes_nothing(headers: dict[str, str], wrong: type[Exception]) -> None:
    class Request:
        def __init__(self) -> None:
            self.headers = headers

    with pytest.raises(wrong):
        expected_version(Request())  # type: ignore[arg-type]


def test_a_list_comes_in_pages_that_lead_to_the_next(owner: Any) -> None:
    for name in "edcba":
        owner("PUT", f"/computes/{name}", json={})

    pages, link = [], "/computes?limit=2"
    while link:
        page = owner("GET", link.removeprefix("http://localhost:8890")).json()
        pages.append([each["name"] for each in page["value"]])
        link = page["nextLink"]

    assert pages == [["a", "b"], ["c", "d"], ["e"]]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("limit=0", "limit: '0': input should be greater than or equal to 1"),
        ("limit=1001", "limit: '1001': input should be less than or equal to 1000"),
        ("limit=x", "limit: 'x': give a whole number"),
    ],
)
def test_a_page_that_cannot_be_had_is_refused_by_its_field(owner: Any, query: str, words: str) -> None:
    answer = owner("GET", f"/computes?{query}")

    assert (answer.status_code, answer.json()["detail"]) == (400, words)


@pytest.mark.parametrize("kind", ASSETS)
def test_versions_of_an_asset_are_added_listed_labelled_and_archived(owner: Any, kind: str) -> None:
    made = [owner("POST", f"/{kind}/m", json={"path": "x"}) for _ in range(3)]

    assert [each.status_code for each in made] == [201, 201, 201]
    assert [each.json()["version"] for each in made] == ["1", "2", "3"]
    assert owner("GET", f"/{kind}/m/labels/latest").json()["version"] == "3"
    first = owner("GET", f"/{kind}/m/versions?limit=2").json()
    assert [each["version"] for each in first["value"]] == ["3", "2"]
    after = first["nextLink"].rpartition("?")[2]
    assert [each["version"] for each in owner("GET", f"/{kind}/m/versions?{after}").json()["value"]] == ["1"]
    assert owner("POST", f"/{kind}/m/versions/2/archive").json()["archived"] is True
    assert owner("POST", f"/{kind}/m/versions/2/restore").json()["archived"] is False
    assert len(owner("POST", f"/{kind}/m/archive").json()["value"]) == 3


def test_a_page_after_what_is_gone_is_refused() -> None:
    page = Page(limit=2, after="9", url="/x", query=())

    with pytest.raises(Mistake, match="after: '9' is not in the list any more"):
        page.follow([{"version": "1"}], key="version")


def test_who_changes_something_is_noted_by_name(make_world: Any) -> None:
    world = make_world()

    world.ask("PUT", "/computes/c", world.token("owner", name="ann"), json={})

    assert world.services.computes.by == ["ann"]
