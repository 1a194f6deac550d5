from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from gristmill.errors import Conflict, InvalidDocument, Mistake, ResourceNotFound
from gristmill_scheduler.resources.assembly import Resources
from gristmill_scheduler.resources.data import Data

WEB = {"path": "https://example.org/a/"}
OTHER = {"path": "https://example.org/b/"}


@pytest.fixture
def data(resources: Resources) -> Data:
    return resources.data


def test_versions_count_up_and_the_last_one_created_is_the_latest(data: Data) -> None:
    made = [data.add("d", WEB, by="ann"), data.put("d", "7", OTHER), data.add("d", WEB), data.put("d", "3", WEB)]

    assert [each.document["version"] for each in made] == ["1", "7", "8", "3"]
    assert all(each.created for each in made)
    assert data.labelled("d", "latest").document["version"] == "3"
    assert [each.document["version"] for each in data.versions("d")] == ["3", "8", "7", "1"]
    assert made[0].document["id"] == "/data/d/versions/1"
    assert made[0].document["creation_context"]["created_by"] == "ann"


def test_what_a_version_means_never_changes(data: Data) -> None:
    data.put("d", "1", WEB)

    with pytest.raises(Conflict, match=r"data asset d:1: it is there with another path.*leave the version out"):
        data.put("d", "1", OTHER)
    with pytest.raises(Conflict, match="another type"):
        data.put("d", "1", {**WEB, "type": "uri_file"})
    again = data.put("d", "1", {**WEB, "description": "said later"})
    assert not again.created
    assert again.document["description"] == "said later"


def test_what_is_shown_can_be_given_back(data: Data) -> None:
    shown = data.put("d", "1", {**WEB, "tags": {"a": "b"}}).document

    assert data.put("d", "1", shown).document["tags"] == {"a": "b"}


def test_a_deleted_number_is_not_given_again(data: Data) -> None:
    data.add("d", WEB)
    data.add("d", WEB)
    data.delete("d", "2", by="ann")

    with pytest.raises(ResourceNotFound, match="data asset d:2"):
        data.get("d", "2")
    assert data.add("d", OTHER).document["version"] == "3"
    assert data.put("d", "2", OTHER).created


def test_archived_versions_are_hidden_and_still_there(data: Data) -> None:
    data.add("d", WEB)
    data.add("d", OTHER)
    data.archive("d", "2", True)

    assert data.labelled("d", "latest").document["version"] == "1"
    assert [each.document["version"] for each in data.versions("d")] == ["1"]
    assert [each.document["version"] for each in data.versions("d", archived="only")] == ["2"]
    assert data.get("d", "2").document["archived"] is True
    data.put("d", "2", {**OTHER, "description": "x"})
    assert data.get("d", "2").document["archived"] is True
    data.archive("d", None, False)
    assert data.labelled("d", "latest").document["version"] == "2"


def test_lists_hold_the_latest_of_each(data: Data) -> None:
    data.add("b", WEB)
    data.add("a", WEB)
    data.add("a", WEB)
    data.archive("b", None, True)

    assert [(each.document["name"], each.document["latest_version"]) for each in data.list()] == [("a", "2")]
    assert [each.document["name"] for each in data.list(archived="only")] == ["b"]
    assert [each.document["name"] for each in data.list(archived="include")] == ["a", "b"]


def test_many_at_once_each_get_a_version_of_their_own(data: Data) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = [each.result() for each in [pool.submit(data.add, "d", WEB) for _ in range(12)]]

    assert sorted(int(each.document["version"]) for each in made) == [*range(1, 13)]


@pytest.mark.parametrize("version", ["latest", "a/b", "", "-1"])
def test_a_version_is_no_label_and_no_path(data: Data, version: str) -> None:
    with pytest.raises(Mistake, match=r"version"):
        data.put("d", version, WEB)


def test_a_name_is_no_path(data: Data) -> None:
    for name in ("a/b", "..", "", "a b"):
        with pytest.raises(Mistake, match=r"^name: String does not match expected pattern"):
            data.add(name, WEB)


def test_what_is_not_there_is_named(data: Data) -> None:
    data.add("d", WEB)
    for call in (
        lambda: data.get("d", "9"),
        lambda: data.get("e", "1"),
        lambda: data.get("../x", "1"),
        lambda: data.labelled("e", "latest"),
        lambda: data.labelled("d", "best"),
        lambda: data.versions("e"),
        lambda: data.archive("e", None, True),
        lambda: data.archive("d", "9", True),
        lambda: data.delete("d", "9"),
    ):
        with pytest.raises(ResourceNotFound, match="data asset"):
            call()


def test_data_is_a_folder_if_nothing_is_said(data: Data) -> None:
    assert data.add("d", WEB).document["type"] == "uri_folder"


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "path: Missing data for required field"),
        ({**WEB, "type": "mltable"}, "mltable is not supported; give uri_folder or uri_file"),
        ({**WEB, "type": "table"}, "not in set"),
        ({**WEB, "size": 3}, "size: Unknown field"),
        ({"path": "azureml:other:1"}, "not to another asset"),
        ({"path": "https://account/x?sv=1&sig=s3cr3t"}, "carries a secret"),
        ({"path": "https://ann:s3cr3t@account/x"}, "carries a secret"),
    ],
)
def test_data_that_cannot_be_used_is_refused_without_its_secret(
    data: Data, document: dict[str, str], message: str
) -> None:
    with pytest.raises(InvalidDocument, match=message) as refused:
        data.add("d", document)
    assert "s3cr3t" not in str(refused.value)


def test_a_file_is_no_folder(data: Data, root: object) -> None:
    with pytest.raises(InvalidDocument, match="There is no folder on target path"):
        data.add("d", {"path": f"{root}/in/a.csv"})
    with pytest.raises(InvalidDocument, match="There is no file on target path"):
        data.add("d", {"path": f"{root}/in", "type": "uri_file"})
