"""`datastore` and `compute`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

COMPUTE = {"name": "batch-cluster", "type": "amlcompute", "min_instances": 0, "max_instances": 5}
STORE = {"name": "images", "type": "local", "path": "/data"}


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("-n batch-cluster --type amlcompute --min-instances 0 --max-instances 5", COMPUTE),
        ("-n batch-cluster --max-instances 5 --min-instances 0", COMPUTE),
        ("-f c.yml", {"name": "c", "type": "amlcompute", "max_instances": 2}),
        ("-f c.yml -n d --max-instances 3", {"name": "d", "type": "amlcompute", "max_instances": 3}),
        (
            "-n c --size S --tier dedicated -l w --idle-time-before-scale-down 6 --tags a=b --set max_instances=7",
            {
                "name": "c",
                "type": "amlcompute",
                "size": "S",
                "tier": "dedicated",
                "idle_time_before_scale_down": 6,
                "tags": {"a": "b"},
                "max_instances": 7,
            },
        ),
    ],
)
def test_create_compute(does: Any, tmp_path: Path, words: str, found: dict[str, Any]) -> None:
    (tmp_path / "c.yml").write_text("name: c\ntype: amlcompute\nmax_instances: 2\n")

    assert does(f"compute create {words}") == [("compute.begin_create_or_update", {"source": found})]


def test_show_list_and_delete_compute(does: Any, run: Any, service: Any) -> None:
    service.answers |= {"compute.get": COMPUTE, "compute.list": [COMPUTE, {"name": "k", "type": "kubernetes"}]}

    assert does("compute show -n batch-cluster") == [("compute.get", {"name": "batch-cluster"})]
    assert does("compute delete -n batch-cluster -y --no-wait") == [("compute.begin_delete", {"name": "batch-cluster"})]
    assert run("compute", "list", "--type", "AmlCompute", "--query", "[].name").document == ["batch-cluster"]
    assert run("compute", "list", "-r", "1").document == [COMPUTE]
    assert run("compute", "list", "-o", "table").out.splitlines()[2].split() == [
        "batch-cluster",
        "amlcompute",
        "0",
        "5",
    ]


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("--max-instances 8", {"max_instances": 8}),
        ("--min-instances 1 --idle-time-before-scale-down 9", {"min_instances": 1, "idle_time_before_scale_down": 9}),
        ("--set tags.a=b", {"tags": {"a": "b"}}),
    ],
)
def test_update_compute(does: Any, service: Any, words: str, changed: dict[str, Any]) -> None:
    service.answers["compute.get"] = COMPUTE
    calls = does(f"compute update -n batch-cluster {words}")

    assert calls[1] == ("compute.begin_create_or_update", {"source": {**COMPUTE, **changed}})


def test_update_and_delete_say_what_they_need(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)

    assert "say what changes" in run("compute", "update", "-n", "c").err
    assert "say what changes" in run("datastore", "update", "-n", "c").err
    assert "say which datastore" in run("datastore", "update", "--set", "description=x").err
    assert "--yes" in run("compute", "delete", "-n", "c").err


def test_create_datastore(does: Any, tmp_path: Path) -> None:
    (tmp_path / "d.yml").write_text(
        "name: images\ntype: azure_blob\naccount_name: a\ncontainer_name: c\n"
        "description: of the camera\ncredentials: {account_key: k}\n"
    )
    ((word, given),) = does("datastore create --file d.yml --name other --set description=new")

    assert word == "datastores.create_or_update"
    assert (given["source"]["name"], given["source"]["description"]) == ("other", "new")


def test_the_other_commands_of_datastores(does: Any, run: Any, service: Any) -> None:
    service.answers |= {"datastores.get": STORE, "datastores.list": [STORE]}

    assert does("datastore show -n images") == [("datastores.get", {"name": "images"})]
    assert does("datastore delete -n images") == [("datastores.delete", {"name": "images"})]
    assert does("datastore delete -n images --yes") == [("datastores.delete", {"name": "images"})]
    changed = {**STORE, "description": "x"}
    assert does("datastore update -n images --set description=x --no-wait")[1] == (
        "datastores.create_or_update",
        {"source": changed},
    )
    assert run("datastore", "list", "-r", "5", "-o", "table").out.splitlines()[2].split() == [
        "images",
        "local",
        "/data",
    ]
