from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from gristmill.errors import Conflict, JobNotFound, Mistake, ResourceNotFound

BODY = {"input": {"path": "azureml:data:1"}}


def test_an_invocation_becomes_a_job_that_completes(world, jobs) -> None:
    made = jobs.invoke("E", {**BODY, "tags": {"a": "b"}, "display_name": "mine"}, by="ann")

    assert made["status"] == "Queued"
    assert made["id"] == f"/batchEndpoints/e/jobs/{made['name']}"
    assert (made["endpoint_name"], made["deployment_name"], made["deployment_version"]) == ("e", "d", 3)
    assert (made["experiment_name"], made["display_name"], made["type"]) == ("e", "mine", "pipeline")
    assert made["creation_context"]["created_by"] == "ann"
    assert made["inputs"] == {"input": {"type": "uri_folder", "path": "azureml:data:1"}}
    done = world.ends(jobs, made["name"])
    assert done["status"] == done["properties"]["status"] == "Completed"
    assert done["error"] is None
    assert done["items"] == {"total": 1, "succeeded": 1, "failed": 0}
    assert done["outputs"]["score"]["path"].endswith(f"azureml/{made['name']}/score/predictions.csv")
    assert done["submitted"] <= done["started"] <= done["ended"]
