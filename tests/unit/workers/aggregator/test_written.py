from __future__ import annotations

import pytest

from gristmill.errors import JobFailed, OutputExists
from gristmill_storage import job_folder
from gristmill_storage.local_store import LocalStore
from gristmill_workers.aggregator.written import WrittenFiles


@pytest.fixture
def output(tmp_path):
    return LocalStore(tmp_path)


@pytest.fixture
def folder(tmp_path):
    return LocalStore(tmp_path / job_folder.HIDDEN / "j")


def gathered(folder, output, files, *, overwrite=False):
    written = WrittenFiles(folder, output, job="j", reserved=("summary.json",), overwrite=overwrite)
    for part, mini_batch, name, data in files:
        folder.create(f"{job_folder.files_folder(part, mini_batch)}/{name}", data)
        written.add(part, mini_batch, [name])
    return written


def publish(folder, output, files, **options):
    written = gathered(folder, output, files, **options)
    written.check()
    written.publish()
    return written


def test_a_file_of_one_mini_batch_is_moved_with_its_folders(folder, output) -> None:
    publish(folder, output, [("p", 0, "deep/a b.bin", b"\0")])

    assert output.read("deep/a b.bin") == b"\0"


def test_line_files_of_several_mini_batches_are_put_together_in_order(folder, output) -> None:
    publish(folder, output, [("p", 0, "r.jsonl", b"0\n"), ("q", 1, "r.jsonl", b"1\n"), ("p", 2, "r.jsonl", b"2\n")])

    assert output.read("r.jsonl") == b"0\n1\n2\n"


def test_other_files_of_one_name_fail_by_name(folder, output) -> None:
    written = gathered(folder, output, [("p", 0, "r.parquet", b"0"), ("p", 1, "r.parquet", b"1")])

    with pytest.raises(JobFailed, match=r"2 mini-batches wrote r\.parquet"):
        written.check()


def test_a_name_of_ours_fails(folder, output) -> None:
    with pytest.raises(JobFailed, match=r"summary\.json"):
        gathered(folder, output, [("p", 0, "summary.json", b"0")]).check()


def test_a_file_that_is_there_is_kept(folder, output) -> None:
    output.create("a.txt", b"old")

    with pytest.raises(OutputExists, match=r"a\.txt"):
        publish(folder, output, [("p", 0, "a.txt", b"new")])
    assert output.read("a.txt") == b"old"


def test_a_file_that_is_there_is_replaced_when_allowed(folder, output) -> None:
    output.create("a.txt", b"old")

    publish(folder, output, [("p", 0, "a.txt", b"new")], overwrite=True)

    assert output.read("a.txt") == b"new"


def test_publishing_again_after_an_interruption_is_fine(folder, output) -> None:
    written = publish(folder, output, [("p", 0, "a.txt", b"1"), ("p", 0, "b.txt", b"2")])

    written.publish()

    assert (output.read("a.txt"), output.read("b.txt")) == (b"1", b"2")
