"""Names in a job's folder."""

from __future__ import annotations

import pytest

from gristmill_storage import job_folder


def test_the_folder_is_hidden_beside_the_output() -> None:
    assert job_folder.url("/data/out", "job-1") == "/data/out/.gristmill/job-1"
    assert job_folder.url("s3://bucket/out/", "job-1") == "s3://bucket/out/.gristmill/job-1"


def test_chunks_are_named_by_their_mini_batches_and_sort() -> None:
    path = job_folder.chunk_path(32)

    assert path == "manifest/000000000032.jsonl"
    assert job_folder.parse_chunk_path(path) == 32
    assert job_folder.chunk_path(99) < job_folder.chunk_path(100)


@pytest.mark.parametrize(
    "path", ["manifest/end.json", "manifest/1.jsonl", "000000000032.jsonl", "x/manifest/1.jsonl", ""]
)
def test_what_is_no_chunk(path: str) -> None:
    assert job_folder.parse_chunk_path(path) is None


def test_part_names_go_both_ways() -> None:
    name = job_folder.part_name("0001763700000", 1234, "node-7.local-3", 42)

    assert name == "0001763700000-000000001234-node-7.local-3-000042"
    assert job_folder.parse_part_name(name) == ("0001763700000", 1234, "node-7.local-3", 42)
    assert job_folder.parse_part_path(job_folder.part_path(name)) == name


def test_part_names_sort_by_epoch_then_mini_batch_then_serial() -> None:
    names = [
        job_folder.part_name("0001", 5, "b", 1),
        job_folder.part_name("0001", 5, "b", 2),
        job_folder.part_name("0001", 10, "a", 1),
        job_folder.part_name("0002", 0, "a", 1),
    ]

    assert names == sorted(names)


@pytest.mark.parametrize(
    ("epoch", "instance"),
    [("a-b", "i"), ("", "i"), ("e", ""), ("e", "a/b"), ("e", ".. /x"), ("é", "i"), ("e", "i\n")],
)
def test_part_names_refuse_what_would_not_come_back(epoch: str, instance: str) -> None:
    with pytest.raises(ValueError, match="part"):
        job_folder.part_name(epoch, 0, instance, 1)
    with pytest.raises(ValueError, match="part"):
        job_folder.part_name("e", -1, "i", 1)


@pytest.mark.parametrize("path", ["parts/x.part", "parts/a/b.part", "other/0001-000000000005-b-000001.part"])
def test_what_is_no_part(path: str) -> None:
    assert job_folder.parse_part_path(path) is None


def test_folders_of_files_and_logs() -> None:
    assert job_folder.files_folder("p", 7) == "files/p/7"
    assert job_folder.output_log("stdout", "node", 3) == "logs/user/stdout/node/process003.stdout.txt"
