from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from gristmill.errors import InputEmpty, InputNotFound, JobNotFound, Mistake, ModelNotFound, OtherVersion, OutputExists
from gristmill.spec import Input, Model, OutputAction, from_json
from gristmill.spec import Job as JobSpec
from gristmill_scheduler.admission import admit, on_compute, readmit
from gristmill_storage import job_folder


def test_a_job_that_passes_has_its_document_in_its_folder(make_job) -> None:
    job = make_job()

    folder = admit(job, environment={})

    assert from_json(JobSpec, json.loads(folder.read(job_folder.SPEC))) == job


@pytest.mark.parametrize("name", ["predictions.csv", "summary.json", "errors.jsonl"])
def test_an_output_that_is_there_is_refused_by_name(make_job, name) -> None:
    job = make_job()
    Path(job.output.folder).mkdir()
    (Path(job.output.folder) / name).touch()

    with pytest.raises(OutputExists, match=f"output: {name} exists in .*; give another folder, or allow --overwrite"):
        admit(job, environment={})


def test_an_output_that_is_there_is_fine_when_it_may_be_replaced(make_job) -> None:
    job = make_job()
    Path(job.output.folder).mkdir()
    (Path(job.output.folder) / "predictions.csv").touch()

    admit(replace(job, output=replace(job.output, overwrite=True)), environment={})


def test_summary_only_does_not_care_for_a_file_of_rows(make_job) -> None:
    job = make_job(output_action=OutputAction.SUMMARY_ONLY)
    Path(job.output.folder).mkdir()
    (Path(job.output.folder) / "predictions.csv").touch()

    admit(job, environment={})


def test_an_empty_input_is_refused_before_anything_is_made(make_job) -> None:
    job = make_job(count=0)

    with pytest.raises(InputEmpty):
        admit(job, environment={})
    assert not Path(job.output.folder).exists()


def test_a_missing_input_is_refused(make_job) -> None:
    job = make_job()

    with pytest.raises(InputNotFound):
        admit(replace(job, input=Input(uri="/nowhere/at/all")), environment={})


def test_a_registry_reference_needs_a_registry_or_a_path(make_job) -> None:
    job = make_job()
    job = replace(job, deployment=replace(job.deployment, model=Model(reference="azureml:m:1")))

    with pytest.raises(ModelNotFound, match=r"azureml:m:1 .*--model PATH"):
        admit(job, environment={})
    admit(job, environment={"MLFLOW_TRACKING_URI": "sqlite:///x"})


def test_a_name_that_is_taken_is_refused(make_job) -> None:
    admit(make_job(), environment={})

    with pytest.raises(Mistake, match="job-1 is taken"):
        admit(replace(make_job(), submitted=2.0), environment={})


def test_a_submission_that_is_repeated_is_the_same_job(make_job) -> None:
    """Each time the scheduler that takes it makes another span of it."""
    again = replace(make_job(), traceparent=f"00-{'1' * 32}-{'2' * 16}-01")

    assert admit(make_job(), environment={}).url == admit(again, environment={}).url == admit(again, environment={}).url


def test_a_part_of_the_output_that_the_job_published_itself_does_not_hinder_its_resume(make_job) -> None:
    job = make_job()
    folder = admit(job, environment={})
    (Path(job.output.folder) / "predictions.csv").touch()
    with pytest.raises(OutputExists):
        readmit(folder.url)

    folder.create(job_folder.PARTIAL, b'{"size": 0, "crc": 0}')

    assert readmit(folder.url)[0] == job


def test_a_job_is_found_again_in_its_folder(make_job) -> None:
    job = make_job()
    folder = admit(job, environment={})

    assert readmit(folder.url)[0] == job


def test_a_folder_without_a_job_is_refused(tmp_path) -> None:
    with pytest.raises(JobNotFound):
        readmit(str(tmp_path))


def test_a_damaged_document_is_refused(tmp_path) -> None:
    (tmp_path / job_folder.SPEC).write_text('{"spec_version": "one"}')

    with pytest.raises(JobNotFound, match="cannot be read: job document of version 'one'"):
        readmit(str(tmp_path))


def test_a_document_that_a_newer_gristmill_wrote_is_refused_as_that(tmp_path) -> None:
    (tmp_path / job_folder.SPEC).write_text('{"spec_version": 99}')

    with pytest.raises(OtherVersion, match=r"job.json: is of version 99, .* reads up to 2: upgrade it"):
        readmit(str(tmp_path))


def test_a_complete_job_has_nothing_to_resume(make_job) -> None:
    folder = admit(make_job(), environment={})
    folder.create(job_folder.RESULT, b'{"status": "Completed"}')

    with pytest.raises(Mistake, match="nothing to resume"):
        readmit(folder.url)


def test_a_job_goes_on_only_where_its_output_is_still_free(make_job) -> None:
    job = make_job()
    folder = admit(job, environment={})
    (Path(job.output.folder) / "predictions.csv").touch()

    with pytest.raises(OutputExists):
        readmit(folder.url)
    folder.create(job_folder.PUBLISHING, b"{}")  # the output there may be the job's own
    assert readmit(folder.url)[0] == job


def test_a_job_can_be_sent_to_another_compute(make_job) -> None:
    assert on_compute(make_job(), "other").deployment.compute == "other"
