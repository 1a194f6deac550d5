"""The group of 2021."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

ENDPOINT: dict[str, Any] = {"name": "mydp", "defaults": {"deployment_name": "old"}, "tags": {}}


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("flavors: {}\n")
    (tmp_path / "add.yml").write_text(
        "name: mnist-deployment\nmodel: {name: m, version: 1, local_path: ./model}\n"
        "compute: {target: azureml:cpu-cluster, instance_count: 1}\nmini_batch_size: 10\n"
    )
    (tmp_path / "e.yml").write_text("name: mydp\ntype: batch\ndescription: of the file\n")
    return tmp_path


def test_create(does: Any) -> None:
    assert does("endpoint create --type batch --name mydp --set description=x --no-wait") == [
        ("batch_endpoints.begin_create_or_update", {"endpoint": {"name": "mydp", "description": "x"}})
    ]
    assert does("endpoint create -t batch -f e.yml")[0][1]["endpoint"]["description"] == "of the file"


def test_show_list_delete_and_list_jobs(does: Any, service: Any) -> None:
    service.answers |= {
        "batch_endpoints.get": ENDPOINT,
        "batch_deployments.get": {"name": "d"},
        "batch_endpoints.list": [ENDPOINT],
        "batch_endpoints.list_jobs": [{"name": "j", "status": "Failed"}],
    }
    of_deployment = {"name": "d", "endpoint_name": "mydp"}

    assert does("endpoint show --type batch -n mydp") == [("batch_endpoints.get", {"name": "mydp"})]
    assert does("endpoint show --type BATCH -n mydp --deployment d") == [("batch_deployments.get", of_deployment)]
    assert does("endpoint list --type batch -o table") == [("batch_endpoints.list", {})]
    assert does("endpoint delete -t batch -n mydp --yes") == [("batch_endpoints.begin_delete", {"name": "mydp"})]
    assert does("endpoint delete -n mydp --deployment d -y --no-wait") == [
        ("batch_deployments.begin_delete", of_deployment)
    ]
    assert does("endpoint list-jobs -n mydp") == [("batch_endpoints.list_jobs", {"endpoint_name": "mydp"})]


def test_a_deployment_is_added_by_its_file(does: Any, service: Any, files: Path) -> None:
    service.answers["batch_endpoints.get"] = ENDPOINT
    (made, shown) = does("endpoint update --type batch -n mydp --deployment-file add.yml")

    assert made[0] == "batch_deployments.begin_create_or_update"
    deployment = made[1]["deployment"]
    assert (deployment["name"], deployment["endpoint_name"]) == ("mnist-deployment", "mydp")
    assert deployment["model"]["path"] == str(files / "model")
    assert shown == ("batch_endpoints.get", {"name": "mydp"})
    again = does("endpoint update --type batch -n mydp --deployment-file add.yml --deployment other")
    assert again[0][1]["deployment"]["name"] == "other"


@pytest.mark.parametrize("words", ["--traffic new:100", "--traffic new:100,old:0", "--traffic old=0 new=100"])
def test_traffic_chooses_the_default(does: Any, service: Any, words: str) -> None:
    service.answers["batch_endpoints.get"] = ENDPOINT
    calls = does(f"endpoint update --type batch -n mydp {words} --no-wait")

    assert calls[-1][1]["endpoint"]["defaults"] == {"deployment_name": "new"}


def test_update_takes_edits_and_a_file(does: Any, service: Any) -> None:
    service.answers["batch_endpoints.get"] = ENDPOINT

    assert does("endpoint update -n mydp --set tags.a=b")[-1][1]["endpoint"]["tags"] == {"a": "b"}
    assert does("endpoint update -n mydp -f e.yml")[-1][1]["endpoint"]["description"] == "of the file"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("update -n mydp", "say what changes"),
        ("update -n mydp --traffic new:50", "gets all (100) or none (0)"),
        ("update -n mydp --traffic new", "give NAME:100"),
        ("update -n mydp --traffic a:100 b:100", "a and b cannot both get 100; name one"),
        ("show -n mydp --type online", "invalid choice: 'online'"),
        ("delete -n mydp", "give --yes"),
    ],
)
def test_what_cannot_be_is_one_line(
    run: Any, service: Any, monkeypatch: pytest.MonkeyPatch, words: str, message: str
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    ran = run("endpoint", *words.split())

    assert (ran.code, service.calls) == (2, [])
    assert message in ran.err
    assert ran.err.count("\n") == 1
