from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gristmill.errors import InputNotFound, Mistake
from gristmill.service.invocation import invocation, merged
from gristmill.service.uploads import Use
from gristmill.service.values import Input, Output


class Uploads:
    """Remembers what was brought."""

    def __init__(self) -> None:
        self.brought: list[tuple[str, Use]] = []

    def bring(self, address: str | Path, use: Use) -> str:
        self.brought.append((str(address), use))
        return "upload:abc"


@pytest.fixture
def uploads() -> Uploads:
    return Uploads()


@pytest.fixture
def resolve(uploads: Uploads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def call(given: Any) -> dict[str, Any]:
        body = invocation(uploads, inputs={"x": given}, outputs={}, overrides=())  # type: ignore[arg-type]
        return dict(body["input_data"]["x"])

    return call


@pytest.mark.parametrize(
    ("given", "uri"),
    [
        ("https://host/images/", "https://host/images/"),
        ("s3://bucket/images", "s3://bucket/images"),
        ("azureml:images:1", "azureml:images:1"),
        ("azureml://datastores/d/paths/p", "azureml://datastores/d/paths/p"),
        ("/subscriptions/0/resourceGroups/g/data/images/versions/1", None),
        ("upload:abc/x", "upload:abc/x"),
        ("images:1", "azureml:images:1"),
        ("images@latest", "azureml:images@latest"),
    ],
)
def test_what_is_no_local_path_is_the_servers_to_understand(resolve: Any, given: str, uri: str | None) -> None:
    assert resolve(given) == {"uri": uri or given}
    assert resolve(Input(path=given, type="uri_file")) == {"uri": uri or given, "job_input_type": "uri_file"}


@pytest.mark.parametrize("relative", [True, False])
def test_a_local_folder_is_brought_there(resolve: Any, uploads: Uploads, tmp_path: Path, relative: bool) -> None:
    (tmp_path / "images").mkdir()

    found = resolve("images" if relative else tmp_path / "images")

    assert found == {"job_input_type": "uri_folder", "uri": "upload:abc/"}
    assert uploads.brought == [(str(tmp_path / "images"), Use.INPUT)]


def test_a_local_file_is_brought_there(resolve: Any, tmp_path: Path) -> None:
    (tmp_path / "a@b.csv").write_text("1")

    assert resolve("./a@b.csv") == {"job_input_type": "uri_file", "uri": "upload:abc"}


@pytest.mark.parametrize(("kind", "word"), [(None, "folder"), ("uri_folder", "folder"), ("uri_file", "file")])
def test_a_local_path_with_nothing_there_is_refused(resolve: Any, tmp_path: Path, kind: str, word: str) -> None:
    with pytest.raises(InputNotFound) as caught:
        resolve(Input(path="none", type=kind))

    assert caught.value.message == f"There is no {word} on target path: {tmp_path}/none"


def test_a_file_where_a_folder_was_meant_is_refused(resolve: Any, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("1")
    with pytest.raises(InputNotFound, match="There is no folder on target path"):
        resolve({"path": "x.csv", "type": "uri_folder"})


@pytest.mark.parametrize("given", ["", "  ", Input(), {}, SimpleNamespace(path=None, type="uri_file")])
def test_an_empty_path_is_refused(resolve: Any, given: Any) -> None:
    with pytest.raises(Mistake, match="Input path can't be empty for batch endpoint invoke"):
        resolve(given)


def test_a_path_that_is_no_text_is_refused(resolve: Any) -> None:
    with pytest.raises(Mistake, match="Supported input path value are: path on the datastore, public URI"):
        resolve({"path": 7})


def test_an_input_of_another_type_is_refused(resolve: Any) -> None:
    with pytest.raises(Mistake, match=r"Unsupported input type please use a dictionary of .*'mltable'"):
        resolve(Input(path="images:1", type="mltable"))


def test_the_body_says_all_of_a_job(uploads: Uploads) -> None:
    body = invocation(
        uploads,  # type: ignore[arg-type]
        inputs={"a": "https://host/x"},
        outputs={"score": Output(path="azureml://datastores/d/paths/p/x.csv")},
        overrides=[{"mini_batch_size": 5}, {"compute.instance_count": 2}, {"retry_settings": {"max_retries": 1}}],
        name="j1",
        experiment_name=None,
        tags={"a": "b"},
    )

    assert body == {
        "input_data": {"a": {"uri": "https://host/x"}},
        "output_data": {"score": {"job_output_type": "uri_file", "uri": "azureml://datastores/d/paths/p/x.csv"}},
        "mini_batch_size": 5,
        "compute": {"instance_count": 2},
        "retry_settings": {"max_retries": 1},
        "name": "j1",
        "tags": {"a": "b"},
    }


def test_a_local_output_is_told_as_an_absolute_path(uploads: Uploads, tmp_path: Path) -> None:
    body = invocation(uploads, inputs={}, outputs={"score": tmp_path / "out.csv"}, overrides=())  # type: ignore[arg-type]

    assert body["output_data"]["score"]["uri"] == str(tmp_path / "out.csv")


@pytest.mark.parametrize(
    ("given", "words"), [(Output(type="mltable", path="x"), "'uri_file'"), ({}, "path is missing")]
)
def test_an_output_that_cannot_be_is_refused(uploads: Uploads, given: Any, words: str) -> None:
    with pytest.raises(Mistake, match=words):
        invocation(uploads, inputs={}, outputs={"score": given}, overrides=())  # type: ignore[arg-type]


def test_overrides_are_merged_and_the_later_wins() -> None:
    given: list[Any] = [
        {"retry_settings.timeout": 5, "environment_variables": {"A.B": "1"}},
        {"retry_settings": {"max_retries": 2}, "environment_variables": {"C": "2"}},
        {"retry_settings.timeout": 7},
    ]

    assert merged(given) == {
        "retry_settings": {"timeout": 7, "max_retries": 2},
        "environment_variables": {"A.B": "1", "C": "2"},
    }
    assert given[0] == {"retry_settings.timeout": 5, "environment_variables": {"A.B": "1"}}


@pytest.mark.parametrize(
    ("given", "words"), [(["mini_batch_size=5"], "is no mapping"), ([{"a": 1}, {"a.b": 2}], "nothing can be set")]
)
def test_overrides_that_cannot_be_are_refused(given: Any, words: str) -> None:
    with pytest.raises(Mistake, match=words):
        merged(given)
