from __future__ import annotations

from pathlib import Path

import pytest

from gristmill.addresses import absolute, job_folder, local_path, split_output


def test_a_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert absolute("images") == str(tmp_path / "images")


def test_a_home_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")

    assert local_path("~/images") == Path("/home/me/images")


@pytest.mark.parametrize("url", ["s3://bucket/images", "https://host/a.csv", "memory://x"])
def test_a_url_stays_as_it_is(url: str) -> None:
    assert local_path(url) is None
    assert absolute(url) == url


def test_a_file_url_is_a_path() -> None:
    assert local_path("file:///data/my%20images") == Path("/data/my images")


def test_a_path_with_a_colon_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert local_path("a:b") == tmp_path / "a:b"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/out", ("/out", "")),
        ("/out/", ("/out", "")),
        ("/out/scores.csv", ("/out", "scores.csv")),
        ("/out/scores.CSV", ("/out", "scores.CSV")),
        ("/out/scores.csv/", ("/out/scores.csv", "")),
        ("/out/v1.2", ("/out/v1.2", "")),
        ("s3://b/out/", ("s3://b/out", "")),
        ("s3://b/out/scores.parquet", ("s3://b/out", "scores.parquet")),
        ("s3://b/scores.jsonl", ("s3://b", "scores.jsonl")),
        ("file:///out/scores.txt", ("/out", "scores.txt")),
    ],
)
def test_an_output_is_a_folder_and_perhaps_a_file_name(address: str, expected: tuple[str, str]) -> None:
    assert split_output(address) == expected


def test_a_folder_that_exists_is_a_folder_whatever_its_name(tmp_path: Path) -> None:
    (tmp_path / "old.csv").mkdir()

    assert split_output(str(tmp_path / "old.csv")) == (str(tmp_path / "old.csv"), "")


def test_a_jobs_folder_is_where_every_other_part_looks_for_it() -> None:
    from gristmill_storage import job_folder as names

    for output in ("/out", "s3://b/out/"):
        assert job_folder(output, "j") == names.url(output, "j")
