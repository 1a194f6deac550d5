from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

SHOWN: dict[str, Any] = {
    "name": "blue",
    "endpoint_name": "mnist",
    "type": "model",
    "model": "azureml:digits:1",
    "code_configuration": {"code": "upload:abc", "scoring_script": "score.py"},
    "compute": "azureml:batch-cluster",
    "resources": {"instance_count": 2},
    "settings": {"mini_batch_size": 10},
    "provisioning_state": "Succeeded",
    "creation_context": {"created_at": "2026-11-21T10:00:00Z"},
}


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> Path:
    for name in ("model", "code"):
        (tmp_path / name).mkdir()
    (tmp_path / "model" / "weights").write_text("7")
    (tmp_path / "code" / "score.py").write_text("def init(): pass\ndef run(mini_batch): return []\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "d.yml").write_text(
        "name: blue\nendpoint_name: other\ntype: model\nmodel: {path: model}\n"
        "code_configuration: {code: code, scoring_script: score.py}\ncompute: azureml:batch-cluster\n"
        "settings: {mini_batch_size: 10}\n"
    )
    return tmp_path


def test_create_sends_what_it_understood(does: Any, files: Path) -> None:
    calls = does(
        "batch-deployment create --file d.yml --name green --endpoint mnist --set-default --skip-script-validation"
        " --set settings.mini_batch_size=20 --set settings.environment_variables.KEY=1.10"
    )

    ((word, given),) = calls
    assert (word, given["set_default"]) == ("batch_deployments.begin_create_or_update", True)
    assert given["deployment"] == {
        "type": "model",
        "name": "green",
        "endpoint_name": "mnist",
        "model": {"path": str(files / "model"), "type": "custom_model"},
        "code_configuration": {"code": str(files / "code"), "scoring_script": "score.py"},
        "compute": "azureml:batch-cluster",
        "settings": {"mini_batch_size": 20, "environment_variables": {"KEY": "1.10"}},
    }


def test_the_script_is_looked_at_unless_that_is_skipped(run: Any, service: Any, files: Path) -> None:
    def create(*more: str) -> Any:
        return run("batch-deployment", "create", "-f", "d.yml", "-e", "mnist", "-n", "green", *more)

    (files / "code" / "score.py").write_text("def run(")
    refused = create()
    assert (refused.code, service.calls) == (2, [])
    assert "due to syntax errors in scoring script score.py" in refused.err
    assert create("--skip-script-validation").code == 0
    assert create("--skip-script-validation", "--set", "code_configuration.scoring_script=later.py").code == 0
    assert [given["skip_script_validation"] for _, given in service.calls] == [True, True]
    outside = create("--skip-script-validation", "--set", "code_configuration.scoring_script=../other.py")
    assert (outside.code, "is not inside the code folder" in outside.err) == (2, True)


def test_create_prints_the_document(run: Any) -> None:
    ran = run("batch-deployment", "create", "-f", "d.yml", "-e", "mnist", "--no-wait", "-o", "yaml")

    assert "endpoint_name: mnist\n" in ran.out
    assert run("batch-deployment", "create", "-f", "d.yml", "--query", "name", "-o", "tsv").out == "blue\n"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-f d.yml --set-default --no-wait", "--set-default"),
        ("-f nothing.yml", "nothing.yml: no such file"),
        (
            "-f d.yml --set model=azureml:m:1 --set model.path=x",
            "Cannot use '--set' on properties defined by reference",
        ),
        ("-f d.yml --set settings.mini_batch_sise=1", "Unknown field."),
        ("", "--file"),
    ],
)
def test_what_cannot_be_is_refused(run: Any, service: Any, words: str, message: str) -> None:
    ran = run("batch-deployment", "create", *words.split())

    assert (ran.code, service.calls) == (2, [])
    assert message in ran.err


def test_show_list_delete_and_list_jobs_name_the_endpoint(does: Any, service: Any) -> None:
    service.answers |= {
        "batch_deployments.get": SHOWN,
        "batch_deployments.list": [SHOWN],
        "batch_deployments.list_jobs": [{"name": "a", "status": "Completed"}],
    }

    assert does("batch-deployment show --name blue --endpoint-name mnist") == [
        ("batch_deployments.get", {"name": "blue", "endpoint_name": "mnist"})
    ]
    assert does("batch-deployment list --endpoint mnist") == [("batch_deployments.list", {"endpoint_name": "mnist"})]
    assert does("batch-deployment delete -n blue -e mnist --yes --no-wait") == [
        ("batch_deployments.begin_delete", {"name": "blue", "endpoint_name": "mnist"})
    ]
    assert does("batch-deployment list-jobs -n blue -e mnist --query [].name") == [
        ("batch_deployments.list_jobs", {"endpoint_name": "mnist", "name": "blue"})
    ]


def test_the_table_names_model_and_compute(run: Any, service: Any) -> None:
    service.answers["batch_deployments.list"] = [SHOWN]

    assert run("batch-deployment", "list", "-e", "mnist", "-o", "table").out.splitlines()[2].split() == [
        "blue",
        "mnist",
        "azureml:digits:1",
        "azureml:batch-cluster",
        "2",
        "Succeeded",
    ]


def update(does: Any, service: Any, words: str) -> dict[str, Any]:
    service.answers["batch_deployments.get"] = SHOWN
    (read, (_, written)) = does(f"batch-deployment update {words}")
    assert read == ("batch_deployments.get", {"name": "blue", "endpoint_name": "mnist"})
    return dict(written["deployment"])


def test_update_changes_a_setting(does: Any, service: Any) -> None:
    changed = update(does, service, "-n blue -e mnist --set settings.mini_batch_size=20 --remove resources --no-wait")

    assert changed == {**{k: v for k, v in SHOWN.items() if k != "resources"}, "settings": {"mini_batch_size": 20}}


def test_update_by_a_file_brings_this_machines_files(does: Any, service: Any, files: Path) -> None:
    changed = update(does, service, "--file d.yml -e mnist --skip-script-validation")

    assert changed["model"] == {"path": (files / "model").as_uri(), "type": "custom_model"}
    assert changed["code_configuration"]["code"] == (files / "code").as_uri()
    assert changed["resources"] == {"instance_count": 2}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-n blue -e mnist", "say what changes"),
        ("--set description=x -n blue", "say which deployment"),
        ("-n blue -e mnist --set model.version=2", "Cannot use '--set' on properties defined by reference strings."),
    ],
)
def test_an_update_that_cannot_be_is_one_line(run: Any, service: Any, words: str, message: str) -> None:
    service.answers["batch_deployments.get"] = SHOWN
    ran = run("batch-deployment", "update", *words.split())

    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert message in ran.err


def test_delete_without_a_terminal_wants_yes(run: Any, service: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)

    assert run("batch-deployment", "delete", "-n", "blue", "-e", "mnist").code == 2
    assert service.calls == []
