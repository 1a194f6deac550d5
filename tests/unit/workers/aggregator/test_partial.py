"""What is finished of a cancelled job is published, and the whole output takes its place later, if it is still that."""

from __future__ import annotations

import pytest

from gristmill.spec import OutputAction
from gristmill_storage import job_folder
from gristmill_workers.aggregator.verify import verify


def cancelled(bench):
    bench.planned(2, 2, 2)
    bench.scored(2, (1, b"c1\n"), (1, None))
    bench.scored(0, (2, b"a1\na2\n"))
    bench.part()
    bench.ledger.stop("j", state="canceled", error=None)
    return bench


def go_on(bench) -> None:
    """Open the ledger again with the parts there are, score the rest."""
    bench.folder.delete(job_folder.RESULT)
    bench.open()
    bench.scored(2, (1, b"c1\n"), (1, None))
    bench.scored(1, (2, b"b1\nb2\n"))
    bench.scored(0, (2, b"a1\na2\n"))
    bench.part()


@pytest.fixture
def bench(make):
    return cancelled(make())


def test_what_is_finished_is_published_in_order(bench) -> None:
    result = bench.aggregate(publish=False, partial=True)

    assert result["status"] == "Canceled"
    assert result["error"]["class"] == "JobCanceled"
    assert result["output"] == f"{bench.output}/predictions.csv"
    assert bench.read() == b"a1\na2\nc1\n"
    assert [error["file"] for error in bench.errors()] == ["m0002-1.txt"]
    summary = bench.summary()
    assert summary["status"] == "Canceled"
    assert summary["items"] == {"total": 6, "succeeded": 3, "failed": 1, "unscored": 2}
    assert list(bench.folder.list(job_folder.PARTS))
    assert verify(bench.folder.url)["faults"] == []


def test_a_partial_output_that_was_changed_is_named(bench) -> None:
    bench.aggregate(publish=False, partial=True)
    (bench.output / "predictions.csv").write_bytes(b"a1\na2\nc2\n")

    (fault,) = verify(bench.folder.url)["faults"]
    assert fault.startswith("predictions.csv: the rows of mini-batch 2 (bytes 6 to 9, items m0002-0.txt, m0002-1.txt)")


def test_publishing_a_part_again_is_the_same(bench) -> None:
    first = bench.aggregate(publish=False, partial=True)

    assert bench.aggregate(publish=False, partial=True) == first


def test_the_whole_output_replaces_the_part(bench) -> None:
    bench.aggregate(publish=False, partial=True)
    go_on(bench)

    result = bench.aggregate()

    assert (result["status"], result["error"]) == ("Completed", None)
    assert bench.read() == b"a1\na2\nb1\nb2\nc1\n"
    assert bench.summary()["items"] == {"total": 6, "succeeded": 5, "failed": 1}
    assert not bench.folder.exists(job_folder.PARTIAL)
    assert verify(bench.folder.url)["faults"] == []


def test_a_larger_part_replaces_a_smaller_one(bench) -> None:
    bench.aggregate(publish=False, partial=True)
    go_on(bench)
    bench.ledger.stop("j", state="canceled", error=None)

    assert bench.aggregate(publish=False, partial=True)["status"] == "Canceled"

    assert bench.read() == b"a1\na2\nb1\nb2\nc1\n"


def test_a_part_that_somebody_changed_is_kept(bench) -> None:
    bench.aggregate(publish=False, partial=True)
    (bench.output / "predictions.csv").write_bytes(b"a1\na2\nmy\n")
    go_on(bench)

    result = bench.aggregate()

    assert result["error"]["class"] == "OutputExists"
    assert bench.read() == b"a1\na2\nmy\n"


def test_a_part_that_somebody_removed_is_no_matter(bench) -> None:
    bench.aggregate(publish=False, partial=True)
    (bench.output / "predictions.csv").unlink()
    go_on(bench)

    assert bench.aggregate()["status"] == "Completed"


def test_somebody_elses_output_is_no_part_of_this_job(bench) -> None:
    (bench.output / "predictions.csv").write_bytes(b"theirs")

    assert bench.aggregate(publish=False, partial=True)["error"]["class"] == "OutputExists"
    go_on(bench)
    assert bench.aggregate()["error"]["class"] == "OutputExists"
    assert bench.read() == b"theirs"


def test_nothing_is_published_where_nothing_succeeded(make) -> None:
    bench = make()
    bench.planned(1, 1)
    bench.scored(0, (1, None))
    bench.part()
    bench.ledger.stop("j", state="canceled", error=None)

    result = bench.aggregate(publish=False, partial=True)

    assert (result["status"], result["output"]) == ("Canceled", None)
    assert not (bench.output / "predictions.csv").exists()
    assert verify(bench.folder.url)["faults"] == []


def test_written_files_of_a_part_stay_for_the_whole(make) -> None:
    bench = make(output_action=OutputAction.SUMMARY_ONLY)
    bench.planned(1, 1)

    def written(number: int, text: bytes) -> None:
        bench.scored(number, (1, b""), encoding="none", files=("all.txt", f"{number}.bin"))
        part = bench.part()
        for name in ("all.txt", f"{number}.bin"):
            bench.folder.create(f"{job_folder.files_folder(part, number)}/{name}", text)

    written(0, b"zero\n")
    bench.ledger.stop("j", state="canceled", error=None)
    assert bench.aggregate(publish=False, partial=True)["output"] == str(bench.output)
    assert bench.read("all.txt") == b"zero\n"
    assert verify(bench.folder.url)["faults"] == []

    bench.folder.delete(job_folder.RESULT)
    bench.open()
    bench.scored(0, (1, b""), encoding="none", files=("all.txt", "0.bin"))
    part = bench.part()
    for name in ("all.txt", "0.bin"):
        bench.folder.create(f"{job_folder.files_folder(part, 0)}/{name}", b"zero\n")
    written(1, b"one\n")
    assert bench.aggregate()["error"] is None

    assert bench.read("all.txt") == b"zero\none\n"
    assert (bench.read("0.bin"), bench.read("1.bin")) == (b"zero\n", b"one\n")
    assert verify(bench.folder.url)["faults"] == []
