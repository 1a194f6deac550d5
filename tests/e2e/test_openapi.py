"""What /openapi.json says, held against the real server: requests made from it, of what is there and of what is not."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import Serving

LONG = pytest.mark.skipif("LONG_TESTS" not in os.environ, reason="takes long: make test-long")

CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")

#: Routes that are asked: all but one that ends when its job does, and one that takes archives, which have own tests.
LEFT_OUT = ("job_stream", "upload_create")

#: Names of what is there; others are made up.
THERE = {"endpoint": "endpoint", "deployment": "one", "job": "first", "name": "thing", "version": "1"}

SCRIPT = "def init():\n    pass\n\n\ndef run(mini_batch):\n    return mini_batch\n"


@pytest.fixture(scope="module")
def serving(redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with one of each kind, and a job that waits for a node."""
    folder = tmp_path_factory.mktemp("openapi")
    (project := folder / "project").mkdir()
    (project / "score.py").write_text(SCRIPT)
    path = {"path": str(project)}
    code = {"code": str(project), "scoring_script": "score.py"}
    with Serving(redis_server, folder, arguments=["--allow-root", project]) as serving:
        for address, document in {
            "/batchEndpoints/endpoint": {},
            "/batchEndpoints/endpoint/deployments/one": {"model": path, "code_configuration": code},
            "/models/thing/versions/1": path,
            "/data/thing/versions/1": path,
            "/environments/thing/versions/1": {"image": "x"},
            "/computes/thing": {},
            "/datastores/thing": {"type": "local", **path},
        }.items():
            serving.request("PUT", address, json=document).raise_for_status()
        job = {"properties": {"name": "first", "InputData": {"in": {"JobInputType": "UriFolder", "Uri": str(project)}}}}
        serving.request("POST", "/batchEndpoints/endpoint/jobs", json=job).raise_for_status()
        yield serving


def ask(serving: Serving, folder: Path, *, examples: int, there: bool) -> None:
    """Ask all routes so many times, of what is `there` (and nothing is deleted) or of what may not be."""
    names = [f'"path.{part}" = "{name}"' for part, name in THERE.items()] if there else []
    (folder / "config.toml").write_text("\n".join(["[parameters]", *names, ""]))
    command = [
        *[str(Path(sys.executable).with_name("schemathesis")), "--config-file", "config.toml"],
        *["run", f"{serving.url}/openapi.json", "--no-color", "--phases", "fuzzing", "--max-examples", str(examples)],
        *["--checks", ",".join(CHECKS), "--no-shrink", "--continue-on-failure", "--warnings", "off"],
        *["--generation-database", "none", "--request-timeout", "30"],
        *[word for name in LEFT_OUT for word in ("--exclude-operation-id", name)],
        *(["--exclude-method", "DELETE"] if there else []),
        *["-H", f"Authorization: Bearer {serving.token}"],
    ]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    found = re.search(r"Selected: (\d+)/(\d+)\s+Tested: (\d+)", ran.stdout)
    assert found, ran.stdout[-2000:]
    selected, known, tested = map(int, found.groups())
    assert tested == selected > 60
    assert there or selected == known - len(LEFT_OUT)
    assert "failure " not in serving.log
    assert serving.request("GET", "/health").status_code == 200


@pytest.mark.parametrize("there", [False, True])
def test_the_server_answers_as_it_says_and_never_fails(serving: Serving, tmp_path: Path, *, there: bool) -> None:
    ask(serving, tmp_path, examples=2, there=there)


@LONG
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("there", [False, True])
def test_the_server_answers_many_requests_as_it_says(serving: Serving, tmp_path: Path, *, there: bool) -> None:
    ask(serving, tmp_path, examples=50, there=there)
