from __future__ import annotations

import json
from dataclasses import replace

import pytest

from gristmill.errors import Mistake
from gristmill.spec import Deployment, Input, Job, Output, OutputAction, RowFormat, Settings, from_json
from gristmill_scheduler.retry import begin_retry
from gristmill_storage import job_folder
from gristmill_storage.files import open_store
from gristmill_storage.manifest import ManifestReader, ManifestWriter, MiniBatch
from gristmill_storage.output_index import Header, IndexWriter, Record
from gristmill_storage.part_format import Piece
from gristmill_storage.retry_plan import Run, read_runs


def piece(items: int, succeeded: int) -> Piece:
    return Piece(items=items, succeeded=succeeded, rows=succeeded, size=3 * succeeded)


class Done:
    """A completed job, given as the pieces of each mini-batch: (items, succeeded) each."""

    def __init__(self, folder, *mini_batches: list[tuple[int, int]], **settings) -> None:
        self.job = Job(
            name="j",
            deployment=Deployment(settings=Settings(**settings)),
            input=Input(uri=str(folder / "in")),
            output=Output(folder=str(folder / "out")),
        )
        self.output = open_store(self.job.output.folder)
        self.folder = open_store(job_folder.url(self.job.output.folder, "j"))
        manifest = ManifestWriter(self.folder)
        name = None if self.job.deployment.settings.output_action is OutputAction.SUMMARY_ONLY else "predictions.csv"
        header = Header(job="j", format=str(self.job.deployment.settings.output_format), output=name)
        with IndexWriter(self.folder, job_folder.INDEX, header) as index:
            for number, pieces in enumerate(mini_batches):
                items = sum(items for items, _ in pieces)
                good = sum(succeeded for _, succeeded in pieces)
                manifest.add(MiniBatch(number, tuple(f"{number}-{item}" for item in range(items)), 0))
                made = tuple(piece(*one) for one in pieces) if len(pieces) > 1 else ()
                record = Record(
                    mini_batch=number, items=items, succeeded=good, failed=items - good, rows=good, pieces=made
                )
                index.record(record)
            manifest.close()
            index.publish(size=5, crc=0)
        self.output.replace("predictions.csv", b"12345")
        self.folder.replace(job_folder.RESULT, json.dumps({"status": "Completed"}).encode())

    def retry(self, name: str = "j-retry-1", **changes) -> tuple[Job, list[tuple[str, ...]], list[Run]]:
        job, place = begin_retry(self.folder, replace(self.job, **changes), name=name)
        assert from_json(Job, json.loads(place.read(job_folder.SPEC))) == job
        manifest = ManifestReader(place)
        assert manifest.totals() == manifest.verify()
        return job, [mini_batch.items for mini_batch in manifest.mini_batches()], list(read_runs(place))


def run(mini_batch: int, first: int, items: int) -> Run:
    return Run(mini_batch=mini_batch, first=first, items=items)


def test_each_run_of_failed_items_becomes_a_mini_batch(tmp_path) -> None:
    done = Done(tmp_path, [(2, 2)], [(2, 0)], [(1, 1), (1, 0), (2, 0), (1, 1), (1, 0)])

    job, items, runs = done.retry()

    assert (job.name, job.retry_of, job.output) == ("j-retry-1", "j", done.job.output)
    assert items == [("1-0", "1-1"), ("2-1", "2-2", "2-3"), ("2-5",)]
    assert runs == [run(1, 0, 2), run(2, 1, 3), run(2, 5, 1)]


def test_items_that_cannot_be_told_apart_are_all_scored_again(tmp_path) -> None:
    _, items, _ = Done(tmp_path, [(3, 2)], [(1, 0), (2, 1), (1, 0)]).retry()

    assert items == [("0-0", "0-1", "0-2"), ("1-0",), ("1-1", "1-2"), ("1-3",)]


def test_a_job_of_which_nothing_failed_is_refused(tmp_path) -> None:
    with pytest.raises(Mistake, match="nothing of job j failed"):
        Done(tmp_path, [(2, 2)]).retry()


@pytest.mark.parametrize("result", [{"status": "Failed"}, None])
def test_a_job_that_is_not_complete_is_to_be_resumed(tmp_path, result) -> None:
    done = Done(tmp_path, [(2, 0)])
    done.folder.delete(job_folder.RESULT)
    if result:
        done.folder.replace(job_folder.RESULT, json.dumps(result).encode())

    with pytest.raises(Mistake, match="use job resume"):
        done.retry()


def test_a_retry_is_not_retried_but_the_job_itself(tmp_path) -> None:
    with pytest.raises(Mistake, match="retry other"):
        Done(tmp_path, [(2, 0)]).retry(retry_of="other")


def test_a_name_that_is_taken_is_refused(tmp_path) -> None:
    done = Done(tmp_path, [(2, 0)])
    done.retry()

    with pytest.raises(Mistake, match="j-retry-1 is taken"):
        done.retry()
    assert done.retry("j-retry-2")[0].name == "j-retry-2"


def test_what_was_ended_before_there_was_a_job_is_begun_again(tmp_path) -> None:
    done = Done(tmp_path, *[[(1, 0)]] * 40)
    done.retry()
    place = open_store(job_folder.url(done.job.output.folder, "j-retry-1"))
    place.delete(job_folder.SPEC)
    place.delete(job_folder.MANIFEST_END)
    place.replace(job_folder.chunk_path(32), b"of another plan")

    assert len(done.retry()[1]) == 40


@pytest.mark.parametrize("spoil", ["gone", "another size"])
def test_an_output_that_is_not_the_jobs_any_more_is_refused(tmp_path, spoil) -> None:
    done = Done(tmp_path, [(2, 0)])
    done.output.delete("predictions.csv")
    if spoil != "gone":
        done.output.create("predictions.csv", b"another")

    with pytest.raises(Mistake, match="run the job anew"):
        done.retry()


def test_a_job_without_an_index_is_refused(tmp_path) -> None:
    done = Done(tmp_path, [(2, 0)])
    done.folder.delete(job_folder.INDEX)

    with pytest.raises(Mistake, match="run the job anew"):
        done.retry()


def test_another_output_than_the_one_there_is_refused(tmp_path) -> None:
    done = Done(tmp_path, [(2, 0)])
    settings = replace(done.job.deployment.settings, output_format=RowFormat.JSONL)

    with pytest.raises(Mistake, match="output_format as they were"):
        done.retry(deployment=replace(done.job.deployment, settings=settings))


def test_a_job_without_rows_can_be_retried(tmp_path) -> None:
    done = Done(tmp_path, [(2, 0)], output_action=OutputAction.SUMMARY_ONLY)
    done.output.delete("predictions.csv")

    assert done.retry()[1] == [("0-0", "0-1")]
