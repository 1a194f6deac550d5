"""`model`, `data` and `environment`: one shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

KINDS = {"model": "models", "data": "data", "environment": "environments"}

ASSET = {"name": "digits", "version": "3", "type": "custom_model", "path": "upload:abc", "tags": {"a": "b"}}
CREATED = {**ASSET, "creation_context": {"created_at": "2026-11-21T10:00:00Z"}}


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> Path:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("7")
    (tmp_path / "conda.yaml").write_text("dependencies: [python=3.11]\n")
    return tmp_path


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (
            "model create --name digits --type custom_model --path model/ -g rg -w ws",
            {"name": "digits", "type": "custom_model", "path": "{here}/model"},
        ),
        (
            "model create -n digits -v 1.10 -t mlflow_model -p runs:/0c1f/model --description d --tags a=1.0 b=c -s P",
            {
                "name": "digits",
                "version": "1.10",
                "type": "mlflow_model",
                "path": "runs:/0c1f/model",
                "description": "d",
                "tags": {"a": "1.0", "b": "c"},
                "stage": "P",
            },
        ),
        (
            "model create -f sub/m.yml --set tags.owner=me --no-wait",
            {"name": "m", "type": "custom_model", "path": "{here}/sub/weights", "tags": {"owner": "me"}},
        ),
        (
            "model create -f sub/m.yml -n other -v 2 --path model",
            {"name": "other", "version": "2", "type": "custom_model", "path": "{here}/model"},
        ),
        (
            "data create -n digits -t uri_folder -p model --skip-validation",
            {"name": "digits", "type": "uri_folder", "path": "{here}/model"},
        ),
        (
            "data create -n digits --version 5 --type uri_file --path https://x/y.csv --description d --tags a=b",
            {
                "name": "digits",
                "version": "5",
                "type": "uri_file",
                "path": "https://x/y.csv",
                "description": "d",
                "tags": {"a": "b"},
            },
        ),
        (
            "environment create -n torch -i ubuntu -c conda.yaml --os-type linux --description d --tags a=b",
            {
                "name": "torch",
                "image": "ubuntu",
                "conda_file": {"dependencies": ["python=3.11"]},
                "os_type": "linux",
                "description": "d",
                "tags": {"a": "b"},
            },
        ),
    ],
)
def test_create_takes_flags_and_a_file(does: Any, files: Path, line: str, found: dict[str, Any]) -> None:
    (files / "sub").mkdir()
    (files / "sub" / "weights").write_text("7")
    (files / "sub" / "m.yml").write_text("name: m\ntype: custom_model\npath: weights\n")
    ((word, given),) = does(line)

    assert word == f"{KINDS[line.split(maxsplit=1)[0]]}.create_or_update"
    expected = {key: value.replace("{here}", str(files)) if key == "path" else value for key, value in found.items()}
    assert given["asset"] == expected


@pytest.mark.parametrize("kind", KINDS)
def test_create_names_its_fault(run: Any, kind: str) -> None:
    ran = run(kind, "create", "-n", "digits", "--set", "colour=red")

    assert ran.code == 2
    assert "Unknown field." in ran.err


def test_tags_are_pairs(run: Any) -> None:
    ran = run("model", "create", "-n", "digits", "-p", "model", "--tags", "a")

    assert (ran.code, ran.err) == (2, "error: --tags a: write key=value\n")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("", {"label": "latest"}),
        ("--label latest", {"label": "latest"}),
        ("-l Production", {"label": "Production"}),
        ("--version 3", {"version": "3", "label": None}),
    ],
)
def test_show_takes_a_version_or_a_label(does: Any, service: Any, kind: str, words: str, given: dict[str, Any]) -> None:
    service.answers[f"{KINDS[kind]}.get"] = ASSET

    assert does(f"{kind} show -n digits {words}") == [
        (f"{KINDS[kind]}.get", {"name": "digits", "version": None, **given})
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_version_and_label_exclude_each_other(run: Any, kind: str) -> None:
    assert run(kind, "show", "-n", "digits", "-v", "1", "-l", "latest").code == 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("", {"name": None, "archived": "exclude"}),
        ("-n digits --archived-only", {"name": "digits", "archived": "only"}),
        ("--name digits --include-archived", {"name": "digits", "archived": "include"}),
    ],
)
def test_list_is_of_names_or_of_versions(does: Any, service: Any, kind: str, words: str, given: dict[str, Any]) -> None:
    service.answers[f"{KINDS[kind]}.list"] = [ASSET]

    assert does(f"{kind} list {words}") == [(f"{KINDS[kind]}.list", given)]


def test_list_ends_where_it_is_to(run: Any, service: Any) -> None:
    service.answers["models.list"] = [{"name": str(number)} for number in range(5)]

    assert run("model", "list", "-r", "2", "--query", "[].name").document == ["0", "1"]
    assert run("model", "list", "--archived-only", "--include-archived").code == 2


def test_the_table_of_models(run: Any, service: Any) -> None:
    service.answers["models.list"] = [CREATED]
    head, _, row = run("model", "list", "-o", "table").out.splitlines()

    assert head.split() == ["Name", "Version", "Type", "Path", "Created"]
    assert row.split() == ["digits", "3", "custom_model", "upload:abc", "2026-11-21T10:00:00Z"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("word", ["archive", "restore"])
@pytest.mark.parametrize(("words", "which"), [("", {}), ("-v 3", {"version": "3"}), ("-l latest", {"label": "latest"})])
def test_archive_and_restore(does: Any, kind: str, word: str, words: str, which: dict[str, str]) -> None:
    given = {"name": "digits", "version": None, "label": None, **which}

    assert does(f"{kind} {word} -n digits {words}") == [(f"{KINDS[kind]}.{word}", given)]


@pytest.mark.parametrize("kind", KINDS)
def test_delete_takes_one_version_and_asks(does: Any, run: Any, kind: str) -> None:
    assert does(f"{kind} delete -n digits -v 3 --yes") == [
        (f"{KINDS[kind]}.delete", {"name": "digits", "version": "3"})
    ]
    assert run(kind, "delete", "-n", "digits", "--yes").code == 2
    asked = run(kind, "delete", "-n", "digits", "-v", "3")
    assert (asked.code, "give --yes" in asked.err) == (2, True)


@pytest.mark.parametrize("kind", KINDS)
def test_update_changes_a_version(does: Any, service: Any, kind: str) -> None:
    service.answers[f"{KINDS[kind]}.get"] = CREATED
    calls = does(f"{kind} update -n digits -v 3 --set description=x --add tags c=d --remove tags.a --no-wait")

    assert calls[1] == (
        f"{KINDS[kind]}.create_or_update",
        {"asset": {**CREATED, "description": "x", "tags": {"c": "d"}}},
    )


def test_update_says_what_it_needs(run: Any) -> None:
    assert "say what changes" in run("model", "update", "-n", "digits").err
