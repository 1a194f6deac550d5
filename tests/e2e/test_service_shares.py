"""Jobs that share a node with one place: the real server, a real node."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from serving import Serving

SCRIPT = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        time.sleep(float(os.environ["PAUSE"]))
        return [os.path.basename(path) for path in mini_batch]
"""

#: Mini-batches of the huge job.
HUGE = 30


@pytest.fixture
def serving(redis_server: str, tmp_path: Path) -> Iterator[Serving]:
    for name, count in (("huge", HUGE), ("small", 3)):
        (tmp_path / name).mkdir()
        for number in range(count):
            (tmp_path / name / f"{number:03d}.txt").touch()
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(textwrap.dedent(SCRIPT))
    url, arguments = redis_server.replace("db=0", "db=7"), ["--allow-root", tmp_path, "--slice-seconds", "1"]
    with Serving(url, tmp_path, nodes=1, slots=1, arguments=arguments) as serving:
        yield serving


def ask(serving: Serving, method: str, path: str, **options: Any) -> Any:
    answer = serving.request(method, path, **options)
    assert answer.is_success, answer.text
    return answer.json()


def invoke(serving: Serving, name: str, pause: float) -> Any:
    body = {
        "job_name": name,
        "input": {"type": "uri_folder", "path": str(serving.folder / name)},
        "environment_variables": {"PAUSE": str(pause)},
    }
    return ask(serving, "POST", "/batchEndpoints/shared/jobs", json=body)


def test_a_small_job_is_done_while_a_huge_one_goes_on_and_that_loses_nothing(serving: Serving) -> None:
    ask(serving, "PUT", "/batchEndpoints/shared", json={"name": "shared"})
    deployment = {
        "name": "blue",
        "endpoint_name": "shared",
        "type": "model",
        "code_configuration": {"code": str(serving.folder / "code"), "scoring_script": "score.py"},
        "compute": "local",
        "settings": {"mini_batch_size": 1},
    }
    (serving.folder / "model").mkdir()
    (serving.folder / "model" / "weights").write_text("7")
    deployment["model"] = {"path": str(serving.folder / "model")}
    ask(serving, "PUT", "/batchEndpoints/shared/deployments/blue", json=deployment)
    invoke(serving, "huge", 0.12)
    serving.until("/jobs/huge", lambda job: job["mini_batches"]["done"] > 0)

    invoke(serving, "small", 0.01)
    small = serving.until("/jobs/small", lambda job: job["ended"])
    between = ask(serving, "GET", "/jobs/huge")
    huge = serving.until("/jobs/huge", lambda job: job["ended"])

    assert (small["status"], between["ended"], huge["status"]) == ("Completed", None, "Completed")
    for job, count in ((small, 3), (huge, HUGE)):
        assert job["items"] == {"total": count, "succeeded": count, "failed": 0}
        attempts = job["summary"]["attempts"]
        assert (attempts["counted"], attempts["retried"], attempts["lost"], attempts["fenced"]) == (count, {}, 0, 0)
        assert job["summary"]["mini_batches"] == {"total": count, "failed": 0, "retried": 0}
        rows = serving.request("GET", f"/jobs/{job['name']}/files/score/predictions.csv").text.splitlines()
        assert rows == [f"{number:03d}.txt" for number in range(count)]
    assert ask(serving, "POST", "/jobs/huge/verify")["ok"]
    assert "other jobs wait for this place: leaving" in (serving.folder / "node0.log").read_text()
