"""What a run says of a job, from its record alone."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from gristmill import spec
from gristmill_scheduler.jobs.record import JobRecord, State
from gristmill_scheduler.tracking.documents import end_document, last_point, point, run_document, run_id_of

PROGRESS = {
    "mini_batches": {"planned": 4, "done": 2},
    "items": {"planned": 40, "succeeded": 19, "failed": 1},
    "rows": 19,
    "rate": 7.5,
    "retries": {"Timeout": 2, "RunFailed": 1},
    "instances": 2,
}


@pytest.fixture
def record() -> JobRecord:
    deployment = spec.Deployment(
        name="d",
        endpoint_name="e",
        model=spec.Model(reference="azureml:m:3", name="m", version="3"),
        code_configuration=spec.CodeConfiguration(code="/code", scoring_script="score.py"),
        compute="c",
        instance_count=2,
        settings=spec.Settings(mini_batch_size=5, error_threshold=7),
    )
    job = spec.Job(
        name="j",
        deployment=deployment,
        input=spec.Input(uri="https://store/in?sig=SECRET"),
        output=spec.Output(folder="/out"),
        submitted=1000.0,
    )
    return JobRecord(
        job=job,
        folder="/out/.gristmill/j",
        endpoint="e",
        deployment="d",
        deployment_version=4,
        by="ada",
        inputs={"x": {"type": "uri_folder", "path": "azureml:data:1"}},
        overrides=(
            "settings.mini_batch_size=5",
            'environment_variables.KEY="SECRET"',
            '.environment_variables.K="SECRET"',
        ),
        experiment_name="nightly",
        display_name="mine",
        tags={"team": "a", "gristmill.job": "forged"},
    )


def end(record: JobRecord, **result: Any) -> JobRecord:
    return dataclasses.replace(record, state=State.ENDED, ended=1060.5, result=result)


def test_a_run_has_the_settings_that_matter_and_who_and_what_it_was(record: JobRecord) -> None:
    document = run_document(record)

    assert (document["experiment"], document["name"], document["began"]) == ("nightly", "mine", 1_000_000)
    params = document["params"]
    assert (params["mini_batch_size"], params["instance_count"], params["error_threshold"]) == ("5", "2", "7")
    assert params["priority"] == "medium"
    assert (params["output_action"], params["retry_settings.max_retries"]) == ("append_row", "3")
    assert params["override.settings.mini_batch_size"] == "5"
    tags = document["tags"]
    assert (tags["gristmill.job"], tags["team"], tags["mlflow.user"]) == ("j", "a", "ada")
    assert (tags["gristmill.model"], tags["gristmill.model_version"]) == ("m", "3")
    assert (tags["gristmill.endpoint"], tags["gristmill.deployment"], tags["gristmill.deployment_version"]) == (
        "e",
        "d",
        "4",
    )


def test_the_input_is_named_as_it_was_given_without_its_secret(record: JobRecord) -> None:
    (given,) = run_document(record)["inputs"]

    assert (given["name"], given["source_type"]) == ("azureml:data:1", "http")
    assert json.loads(given["source"]) == {"url": "https://store/in"}
    assert "SECRET" not in json.dumps({**run_document(record), "params": run_document(record)["params"]["input"]})


def test_values_of_variables_are_not_told(record: JobRecord) -> None:
    own = dataclasses.replace(record, overrides=('settings.environment_variables.KEY="SECRET"',))

    assert run_document(own)["params"]["override.settings.environment_variables.KEY"] == "***"


def test_a_retry_stands_below_the_run_of_its_job(record: JobRecord) -> None:
    retry = dataclasses.replace(record, job=dataclasses.replace(record.job, name="j-retry", retry_of="j"))
    tags = run_document(retry, parent="abc")["tags"]

    assert (tags["gristmill.retry_of"], tags["mlflow.parentRunId"]) == ("j", "abc")
    assert run_id_of(retry) != run_id_of(record)


def test_metrics_have_their_moment_and_the_jobs_age_as_step(record: JobRecord) -> None:
    moment, step, values = point(record, PROGRESS, 1042.25)

    assert (moment, step) == (1_042_250, 42)
    assert (values["items_succeeded"], values["items_failed"], values["retries"], values["rows"]) == (19, 1, 3, 19)
    assert (values["mini_batches_done"], values["items_per_second"]) == (2, 7.5)


@pytest.mark.parametrize(
    ("status", "expected"), [("Completed", "FINISHED"), ("Failed", "FAILED"), ("Canceled", "KILLED")]
)
def test_how_a_job_ended_is_how_its_run_did(record: JobRecord, status: str, expected: str) -> None:
    assert end_document(end(record, status=status, error=None))["status"] == expected


def test_an_error_and_files_are_told_where_there_are_some(record: JobRecord) -> None:
    error = {"class": "NothingSucceeded", "message": "all failed"}
    failed = end_document(
        end(record, status="Failed", error=error, summary=None, errors="/out/.gristmill/j/errors.jsonl")
    )

    assert failed["tags"]["gristmill.error"] == "NothingSucceeded: all failed"
    assert failed["artifacts"] == {"errors.jsonl": "/out/.gristmill/j/errors.jsonl"}
    assert failed["ended"] == 1_060_500


def test_the_last_metrics_are_those_of_the_summary(record: JobRecord) -> None:
    summary = {
        "items": {"total": 4, "succeeded": 3, "failed": 1},
        "rows": 3,
        "mini_batches": {"total": 2},
        "attempts": {"retried": {"Timeout": 2}},
        "errors_by_category": {"RunFailed": 1},
        "seconds": {"total": 60.5, "init": None},
        "throughput": {"items_per_second": 2.5},
    }
    moment, step, values = last_point(end(record, status="Completed", document=summary))

    assert (moment, step) == (1_060_500, 60)
    assert values == {
        "items_succeeded": 3,
        "items_failed": 1,
        "rows": 3,
        "mini_batches_done": 2,
        "retries": 2,
        "errors/RunFailed": 1,
        "seconds/total": 60.5,
        "throughput/items_per_second": 2.5,
    }


def test_a_job_that_never_began_has_no_last_metrics(record: JobRecord) -> None:
    assert last_point(end(record, status="Canceled"))[2] == {}
