"""Jobs asked for over HTTP: the real server, real nodes."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serving import Serving

SCRIPT = """
    import os

    def init():
        print("the model is", open(os.environ["AZUREML_MODEL_DIR"] + "/model/weights").read())

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        if os.environ.get("BROKEN") and os.path.exists(os.environ["BROKEN"]) and "00003.txt" in names:
            raise ValueError("broken")
        return names
"""

FILES = 40


class Project:
    """An endpoint with a deployment, its model, code and input in a folder that the server may read."""

    def __init__(self, serving: Serving) -> None:
        self.serving = serving
        self.folder = serving.folder
        for name in ("in", "code", "model"):
            (self.folder / name).mkdir()
        for number in range(FILES):
            (self.folder / "in" / f"{number:05d}.txt").write_text(str(number))
        (self.folder / "code" / "score.py").write_text(textwrap.dedent(SCRIPT))
        (self.folder / "model" / "weights").write_text("7")
        self.ask("PUT", "/batchEndpoints/names", json={"name": "names"})
        self.ask("PUT", "/batchEndpoints/names/deployments/blue", json=self._deployment())

    def _deployment(self) -> dict[str, Any]:
        return {
            "name": "blue",
            "endpoint_name": "names",
            "type": "model",
            "model": {"path": str(self.folder / "model")},
            "code_configuration": {"code": str(self.folder / "code"), "scoring_script": "score.py"},
            "compute": "local",
            "settings": {"mini_batch_size": 10, "retry_settings": {"max_retries": 1}},
        }

    def ask(self, method: str, path: str, **options: Any) -> Any:
        answer = self.serving.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json()

    def invoke(self, **more: Any) -> Any:
        body = {"input": {"type": "uri_folder", "path": str(self.folder / "in")}, **more}
        return self.ask("POST", "/batchEndpoints/names/jobs", json=body)

    def ends(self, name: str) -> Any:
        return self.serving.until(f"/jobs/{name}", lambda job: job["ended"])

    def rows(self, name: str) -> list[str]:
        answer = self.serving.request("GET", f"/jobs/{name}/files/score/predictions.csv")
        assert answer.is_success, answer.text
        return answer.text.splitlines()


NAMES = [f"{number:05d}.txt" for number in range(FILES)]


@pytest.fixture(scope="module")
def project(redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    # On a database of its own: other tests of this process empty theirs.
    url, folder = redis_server.replace("db=0", "db=5"), tmp_path_factory.mktemp("jobs")
    with Serving(url, folder, nodes=1, slots=16, arguments=["--allow-root", folder]) as serving:
        yield Project(serving)


def test_an_invocation_is_followed_to_its_end_and_its_output_is_right(project: Project) -> None:
    made = project.invoke(display_name="mine", tags={"a": "b"})
    name = made["name"]
    events = _stream(project, name)

    kinds, end = [event["event"] for event in events], events[-1]["data"]
    assert (kinds[0], kinds[-1]) == ("status", "end")
    logs = [event for event in events if event["event"] == "log"]
    assert "the model is 7" in "".join(event["data"]["text"] for event in logs)
    # Whoever had heard the first of them only is told the others.
    later = [event for event in _stream(project, name, after=logs[0]["id"]) if event["event"] == "log"]
    assert _by_file(logs[:1] + later) == _by_file(logs)
    assert [event for event in _stream(project, name, after=logs[-1]["id"]) if event["event"] == "log"] == []
    assert end == project.ask("GET", f"/jobs/{name}") == project.ask("GET", f"/batchEndpoints/names/jobs/{name}")
    assert (end["status"], end["items"]) == ("Completed", {"total": FILES, "succeeded": FILES, "failed": 0})
    assert end["services"]["Studio"]["endpoint"] == f"{project.serving.url}/jobs/{name}"
    assert project.rows(name) == NAMES
    assert project.ask("POST", f"/jobs/{name}/verify")["ok"]


def _stream(project: Project, name: str, *, after: str = "") -> list[dict[str, Any]]:
    """Return the events of a job to its end."""
    events = []
    with httpx.stream(
        "GET",
        f"{project.serving.url}/jobs/{name}/stream",
        headers={"authorization": f"Bearer {project.serving.token}", **({"last-event-id": after} if after else {})},
        timeout=60,
        trust_env=False,
    ) as stream:
        text = "".join(stream.iter_text())
    for block in text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        if "event" in fields:
            events.append({**fields, "data": json.loads(fields["data"])})
    return events


def _by_file(logs: list[dict[str, Any]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for event in logs:
        found[event["data"]["file"]] = found.get(event["data"]["file"], "") + event["data"]["text"]
    return found


def test_files_go_out_in_parts_and_by_the_child_too(project: Project) -> None:
    name = project.invoke()["name"]
    project.ends(name)
    (child,) = project.ask("GET", f"/jobs?parent={name}")["value"]
    path = f"/jobs/{child['name']}/files"

    listed = project.ask("GET", f"{path}?output=score")["value"]
    part = project.serving.request("GET", f"{path}/score/predictions.csv", headers={"range": "bytes=10-14"})

    assert [each["path"] for each in listed] == ["predictions.csv", "summary.json"]
    assert (part.status_code, part.text) == (206, "00001")
    logs = project.ask("GET", f"{path}?output=default")["value"]
    assert "logs/user/stdout/node0/process000.stdout.txt" in [each["path"] for each in logs]
    for outside in (f"score/.gristmill/{name}/job.json", "score/..%2f..%2fx", "default/job.json", "other/x"):
        assert project.serving.request("GET", f"{path}/{outside}").status_code == 404


def test_what_failed_is_told_and_tried_again_in_a_job_of_its_own(project: Project) -> None:
    broken = project.folder / "broken"
    broken.touch()
    name = project.invoke(environment_variables={"BROKEN": str(broken)}, mini_batch_size=1)["name"]
    done = project.ends(name)
    assert done["items"] == {"total": FILES, "succeeded": FILES - 1, "failed": 1}
    (row,) = project.ask("GET", f"/jobs/{name}/errors")["value"]
    assert "broken" in json.dumps(row)
    broken.unlink()

    retry = project.ask("POST", f"/jobs/{name}/retry-failed")

    assert (retry["name"], retry["retry_of"]) == (f"{name}-retry-1", name)
    assert project.ends(retry["name"])["status"] == "Completed"
    assert project.rows(name) == NAMES
    assert project.rows(retry["name"]) == NAMES


def test_a_token_for_other_endpoints_sees_no_job_and_a_reader_ends_none(project: Project) -> None:
    name = project.invoke()["name"]
    other = project.ask("POST", "/tokens", json={"name": "o", "roles": ["invoker"], "endpoints": ["other"]})["token"]
    reader = project.ask("POST", "/tokens", json={"name": "r", "roles": ["reader"], "endpoints": ["names"]})["token"]
    project.ends(name)

    for path in (f"/jobs/{name}", f"/jobs/{name}_batchscoring", f"/jobs/{name}/files", f"/jobs/{name}/stream"):
        assert project.serving.request("GET", path, token=other).status_code == 404
        assert project.serving.request("GET", path, token=reader).status_code == 200
    assert project.serving.request("GET", "/jobs", token=other).json()["value"] == []
    assert project.serving.request("GET", "/batchEndpoints/names/jobs", token=other).status_code == 403
    assert project.serving.request("POST", f"/jobs/{name}/cancel", token=other).status_code == 404
    for action in ("cancel", "pause", "resume", "archive", "verify", "retry-failed"):
        assert project.serving.request("POST", f"/jobs/{name}/{action}", token=reader).status_code == 403


#: Says which of its lives it is, and waits in its first mini-batch for a file.
STEADY = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        while not os.path.exists(os.environ["GO"]):
            time.sleep(0.05)
        return ["VERSION" for path in mini_batch]
"""


def test_a_running_job_keeps_the_deployment_that_it_began_with(project: Project) -> None:
    go, folder = project.folder / "go", project.folder / "steady"

    def deploy(version: str) -> Any:
        code = folder / version
        code.mkdir(parents=True)
        (code / "score.py").write_text(textwrap.dedent(STEADY.replace("VERSION", version)))
        document = {
            **project._deployment(),
            "name": "steady",
            "code_configuration": {"code": str(code), "scoring_script": "score.py"},
            "environment_variables": {"GO": str(go)},
        }
        return project.ask("PUT", "/batchEndpoints/names/deployments/steady?set_default=true", json=document)

    first = deploy("one")
    began = project.invoke()
    project.serving.until(f"/jobs/{began['name']}", lambda job: job["status"] == "Running")
    second = deploy("two")
    project.ask("PUT", "/batchEndpoints/names", json={"name": "names", "defaults": {"deployment_name": "blue"}})
    after = project.invoke()
    go.touch()

    done = project.ends(began["name"])
    assert (done["status"], set(project.rows(done["name"]))) == ("Completed", {"one"})
    assert (done["deployment_name"], done["deployment_version"]) == ("steady", first["version"])
    assert second["version"] > first["version"]
    assert project.ends(after["name"])["deployment_name"] == "blue"
    assert project.rows(after["name"]) == NAMES
