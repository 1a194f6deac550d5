from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from gristmill import spec
from gristmill.spec import from_json, to_json


def full() -> spec.Job:
    """Return a job with nothing left at its default."""
    return spec.Job(
        name="job",
        deployment=spec.Deployment(
            name="digits",
            endpoint_name="e",
            description="d",
            tags={"a": "b"},
            properties={"p": "q"},
            model=spec.Model(path="/m", reference="azureml:m:1", name="m", version="1", type=spec.ModelType.CUSTOM),
            code_configuration=spec.CodeConfiguration(code="/c", scoring_script="s.py"),
            environment=spec.Environment(
                name="n", version="2", reference="r", image="i", conda={"dependencies": ["python=3.8", {"pip": ["x"]}]},
                requirements=("numpy", "torch"), folder="/f",
            ),
            environment_variables={"A": "1"},
            compute="cluster",
            instance_count=3,
            settings=spec.Settings(
                max_concurrency_per_instance=4,
                mini_batch_size=5,
                retry_settings=spec.RetrySettings(max_retries=1, timeout=60),
                output_action=spec.OutputAction.SUMMARY_ONLY,
                output_file_name="o.csv",
                error_threshold=7,
                logging_level="debug",
                mini_batch_bytes=1000,
                recursive=False,
                output_format=spec.RowFormat.PARQUET,
                header=True,
                delimiter=";",
                rows_per_predict=10,
                predict_per=spec.PredictPer.MINI_BATCH,
                init_timeout=99,
                isolate_failures=True,
                speculate=True,
                priority=spec.Priority.HIGH,
                keep_scorers_seconds=60,
                split_files=True,
                split_bytes=2000,
                tuning=spec.Tuning(
                    lease_mini_batches=3, frames_in_flight=4, prefetch_items=0, threads_per_scorer=2, flush_bytes=9
                ),
            ),
        ),
        input=spec.Input(uri="/in", type=spec.InputType.URI_FILE),
        output=spec.Output(folder="/out", overwrite=True),
        environment_mode=spec.EnvironmentMode.MODEL,
        submitted=12.5,
    )  # fmt: skip


def minimal() -> spec.Job:
    return spec.Job(
        name="j", deployment=spec.Deployment(), input=spec.Input(uri="/in"), output=spec.Output(folder="/out")
    )


@pytest.mark.parametrize("job", [full(), minimal()], ids=["full", "minimal"])
def test_a_job_comes_back_from_json_as_it_was(job: spec.Job) -> None:
    assert from_json(spec.Job, json.loads(json.dumps(to_json(job)))) == job


def test_the_full_job_leaves_no_field_of_the_settings_at_its_default() -> None:
    settings = full().deployment.settings

    assert [
        f.name for f in dataclasses.fields(settings) if getattr(settings, f.name) == getattr(spec.Settings(), f.name)
    ] == []


def test_a_job_says_its_version_and_its_parts_do_not() -> None:
    document = to_json(minimal())

    assert document["spec_version"] == 1
    assert "spec_version" not in document["deployment"]


def test_a_job_whose_items_are_slices_is_for_readers_that_know_them() -> None:
    settings = spec.Settings(split_files=True)
    document = to_json(dataclasses.replace(minimal(), deployment=spec.Deployment(settings=settings)))

    assert document["spec_version"] == spec.SPEC_VERSION == 2


def test_a_newer_version_is_refused() -> None:
    with pytest.raises(ValueError, match="this Gristmill reads up to 2"):
        from_json(spec.Job, {**to_json(minimal()), "spec_version": 3})


def test_a_key_that_was_added_later_is_passed_over() -> None:
    assert from_json(spec.Input, {"uri": "/in", "mode": "direct"}) == spec.Input(uri="/in")


@pytest.mark.parametrize("document", [{}, [], None, "text", {"name": "j", "input": 3}])
def test_what_is_no_job_is_refused_by_name(document: Any) -> None:
    with pytest.raises(ValueError, match="not a Job document"):
        from_json(spec.Job, document if isinstance(document, dict) else {"deployment": document})


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(ValueError, match="uri_table"):
        from_json(spec.Input, {"uri": "/in", "type": "uri_table"})


@pytest.mark.parametrize(("max_retries", "attempts"), [(0, 1), (1, 1), (3, 3)])
def test_attempts_are_counted_as_azures_engine_counts(max_retries: int, attempts: int) -> None:
    assert spec.RetrySettings(max_retries=max_retries).attempts == attempts


def test_init_may_take_three_timeouts_and_thirty_seconds_unless_said() -> None:
    assert spec.Settings(retry_settings=spec.RetrySettings(timeout=10)).init_seconds == 60
    assert spec.Settings(init_timeout=0).init_seconds == 0
