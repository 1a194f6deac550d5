from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gristmill.errors import PreconditionFailed, ResourceNotFound

ENDPOINT: dict[str, Any] = {
    "name": "mnist",
    "description": "digits",
    "tags": {"owner": "me"},
    "defaults": {"deployment_name": "blue"},
    "scoring_uri": "http://server/batchEndpoints/mnist/jobs",
    "provisioning_state": "Succeeded",
}


def test_create_needs_no_file(run: Any, service: Any) -> None:
    ran = run("batch-endpoint", "create", "--name", "Mnist-AbC", "-g", "rg", "-w", "ws", "--no-wait")

    assert (ran.code, ran.document["name"]) == (0, "mnist-abc")
    assert service.calls == [("batch_endpoints.begin_create_or_update", {"endpoint": {"name": "mnist-abc"}})]


def test_create_takes_a_file_and_what_wins_over_it(does: Any, tmp_path: Path) -> None:
    (tmp_path / "e.yml").write_text("name: other\ndescription: old\ntags: {a: b}\n")
    calls = does("batch-endpoint create --f e.yml -n mnist --set description=new tags.owner=1.10 --set tags.b=c")

    (word, given) = calls[0]
    assert word == "batch_endpoints.begin_create_or_update"
    assert given["endpoint"] == {"name": "mnist", "description": "new", "tags": {"a": "b", "owner": "1.10", "b": "c"}}


def test_a_file_of_2021_makes_its_deployments_and_then_the_default(does: Any, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "MLmodel").write_text("flavors: {}\n")
    (tmp_path / "e.yml").write_text(
        "name: mybatchedp\ntype: batch\ntraffic: {blue: 100}\n"
        "deployments:\n  - name: blue\n    model: {name: m, version: 1, local_path: ./model}\n"
        "    compute: {target: azureml:cpu-cluster, instance_count: 1}\n"
    )
    calls = does("batch-endpoint create -f e.yml")

    assert [word for word, _ in calls] == [
        "batch_endpoints.begin_create_or_update",
        "batch_deployments.begin_create_or_update",
        "batch_endpoints.begin_create_or_update",
    ]
    assert "defaults" not in calls[0][1]["endpoint"]
    deployment = calls[1][1]["deployment"]
    assert (deployment["name"], deployment["endpoint_name"]) == ("blue", "mybatchedp")
    assert calls[2][1]["endpoint"]["defaults"] == {"deployment_name": "blue"}


def test_create_without_a_name_is_refused(run: Any) -> None:
    ran = run("batch-endpoint", "create")

    assert ran.code == 2
    assert "Missing data for required field." in ran.err


def test_show_prints_json_or_the_part_that_is_asked_for(run: Any, service: Any) -> None:
    service.answers["batch_endpoints.get"] = ENDPOINT

    assert run("batch-endpoint", "show", "--name", "mnist").document == ENDPOINT
    ran = run("batch-endpoint", "show", "-n", "mnist", "--query", "scoring_uri", "--output", "TSV")
    assert ran.out == "http://server/batchEndpoints/mnist/jobs\n"
    ran = run("batch-endpoint", "show", "-n", "mnist", "--query", "{Name:name, Defaults:defaults}")
    assert ran.document == {"Name": "mnist", "Defaults": {"deployment_name": "blue"}}
    assert service.calls == [("batch_endpoints.get", {"name": "mnist"})] * 3


def test_what_is_not_there_is_one_line_and_azs_3(run: Any, service: Any) -> None:
    service.answers["batch_endpoints.get"] = ResourceNotFound("endpoint x: there is none")
    ran = run("batch-endpoint", "show", "-n", "x")

    assert (ran.code, ran.out, ran.err) == (3, "", "error: endpoint x: there is none\n")


def test_list_has_a_table(run: Any, service: Any) -> None:
    service.answers["batch_endpoints.list"] = [ENDPOINT, {"name": "other"}]
    lines = run("batch-endpoint", "list", "-o", "table").out.splitlines()

    assert lines[0].split() == ["Name", "Default", "State", "Scoring", "URI"]
    assert lines[2].split() == ["mnist", "blue", "Succeeded", "http://server/batchEndpoints/mnist/jobs"]
    assert lines[3] == "other"
    assert run("batch-endpoint", "list", "--query", "[].name").document == ["mnist", "other"]


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("--set defaults.deployment_name=green", {"defaults": {"deployment_name": "green"}}),
        ("--defaults deployment_name=green", {"defaults": {"deployment_name": "green"}}),
        ("--set tags.version=1.10", {"tags": {"owner": "me", "version": "1.10"}}),
        ("--set description=5", {"description": 5}),
        ("--set description=5 --force-string", {"description": "5"}),
        ("--add tags team=x", {"tags": {"owner": "me", "team": "x"}}),
        ("--remove tags.owner", {"tags": {}}),
        ("-f e.yml", {"description": "of the file", "tags": {"owner": "me", "file": "yes"}}),
        ("-f e.yml --set description=flag", {"description": "flag", "tags": {"owner": "me", "file": "yes"}}),
    ],
)
def test_update_changes_what_is_there(
    does: Any, service: Any, tmp_path: Path, words: str, changed: dict[str, Any]
) -> None:
    (tmp_path / "e.yml").write_text("name: mnist\ndescription: of the file\ntags: {file: yes}\n")
    service.answers["batch_endpoints.get"] = ENDPOINT
    (read, written) = does(f"batch-endpoint update -n mnist {words} --no-wait")

    assert read == ("batch_endpoints.get", {"name": "mnist"})
    assert written == ("batch_endpoints.begin_create_or_update", {"endpoint": {**ENDPOINT, **changed}})


def test_update_removes_a_key(does: Any, service: Any) -> None:
    service.answers["batch_endpoints.get"] = ENDPOINT

    assert "description" not in does("batch-endpoint update -n mnist --remove description")[1][1]["endpoint"]


def test_update_takes_the_name_of_its_file(does: Any, service: Any, tmp_path: Path) -> None:
    (tmp_path / "e.yml").write_text("name: mnist\n")
    service.answers["batch_endpoints.get"] = ENDPOINT

    assert does("batch-endpoint update --file e.yml")[0] == ("batch_endpoints.get", {"name": "mnist"})


def test_update_writes_on_the_version_that_it_read(run: Any, service: Any) -> None:
    service.answers["batch_endpoints.get"] = ENDPOINT
    service.answers["batch_endpoints.begin_create_or_update"] = PreconditionFailed("endpoint mnist: changed meanwhile")
    given = []
    answer = service.answer
    service.answer = lambda word, arguments: (given.append(arguments.get("endpoint")), answer(word, arguments))[1]
    ran = run("batch-endpoint", "update", "-n", "mnist", "--set", "description=x")

    assert (ran.code, ran.err) == (2, "error: endpoint mnist: changed meanwhile\n")
    assert given[-1]._etag == '"3"'


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("", "say what changes"),
        ("--set description", "write key=value"),
        ("--set scoring_uri.x=1", "Cannot use '--set' on properties defined by reference strings."),
        ("--set tags..x=1", "no path"),
        ("--remove nothing", "there is no nothing"),
        ("--remove tags 1 2", "at most one place"),
        ("--add description x=y", "neither a list nor a mapping"),
        ("--add tags x", "a mapping takes key=value"),
        ("--add tags", "say what is added"),
    ],
)
def test_an_edit_that_cannot_be_is_one_line(run: Any, service: Any, words: str, message: str) -> None:
    service.answers["batch_endpoints.get"] = ENDPOINT
    ran = run("batch-endpoint", "update", "-n", "mnist", *words.split())

    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1


def test_delete_asks_nobody_with_yes(run: Any, service: Any) -> None:
    ran = run("batch-endpoint", "delete", "--name", "mnist", "-y")

    assert (ran.code, ran.out, ran.err) == (0, "", "endpoint mnist is deleted\n")
    assert service.calls == [("batch_endpoints.begin_delete", {"name": "mnist"})]
    assert run("batch-endpoint", "delete", "-n", "mnist", "--yes", "--only-show-errors", "--no-wait").err == ""


def test_delete_without_a_terminal_wants_yes(run: Any, service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    ran = run("batch-endpoint", "delete", "-n", "mnist")

    assert (ran.code, service.calls) == (2, [])
    assert ran.err.endswith("give --yes\n")


@pytest.mark.parametrize(("answer", "calls"), [("y", 1), ("Yes", 1), ("n", 0), ("", 0)])
def test_delete_asks_on_a_terminal(
    run: Any, service: Any, monkeypatch: pytest.MonkeyPatch, answer: str, calls: int
) -> None:
    class Terminal:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return f"{answer}\n"

    monkeypatch.setattr("sys.stdin", Terminal())
    ran = run("batch-endpoint", "delete", "-n", "mnist")

    assert ran.code == 0
    assert "Delete endpoint mnist and its deployments? (y/n): " in ran.err
    assert len(service.calls) == calls


def test_list_jobs_lists_the_endpoints(run: Any, service: Any) -> None:
    service.answers["batch_endpoints.list_jobs"] = [{"name": "a", "status": "Completed"}]

    assert run("batch-endpoint", "list-jobs", "--name", "mnist", "--query", "[].name").document == ["a"]
    assert service.calls == [("batch_endpoints.list_jobs", {"endpoint_name": "mnist"})]
