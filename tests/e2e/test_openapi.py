"""What /openapi.json says, held against the real server: requests made from it, good ones and bad ones."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from serving import Serving

#: Seconds that requests are made; on a busy machine longer.
SECONDS = (8, 20, 60)

#: Routes that are asked at least, of more than 70; which they are differs from run to run.
ENOUGH = 5

CHECKS = ("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance")


@pytest.fixture(scope="module")
def serving(redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with Serving(redis_server, tmp_path_factory.mktemp("openapi")) as serving:
        yield serving


def asked(serving: Serving, folder: Path, seconds: int) -> int:
    """Have requests made for so long; return how many routes were asked to the end of their examples."""
    command = [
        *[str(Path(sys.executable).with_name("schemathesis")), "run", f"{serving.url}/openapi.json", "--no-color"],
        *["--max-time", str(seconds), "--max-examples", "5", "--checks", ",".join(CHECKS), "--no-shrink"],
        *["--phases", "fuzzing", "--generation-database", "none", "--request-timeout", "30"],
        *["--continue-on-failure", "--warnings", "off"],
        # One ends when the job does, the other takes archives, which have tests of their own.
        *["--exclude-operation-id", "job_stream", "--exclude-operation-id", "upload_create"],
        *["-H", f"Authorization: Bearer {serving.token}"],
    ]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=seconds + 90, check=False)
    assert ran.returncode == 0, ran.stdout[-6000:] + ran.stderr[-2000:]
    found = re.search(r"Tested: (\d+)", ran.stdout)
    return int(found[1]) if found else 0


def test_the_server_answers_as_it_says_and_never_fails(serving: Serving, tmp_path: Path) -> None:
    serving.request("PUT", "/batchEndpoints/endpoint", json={"name": "endpoint"}).raise_for_status()
    # The registry's first answer takes seconds: MLflow is imported, and makes its tables.
    serving.request("GET", "/models").raise_for_status()
    tested = 0
    # How many of the routes come to be asked in some seconds depends on what else runs here.
    for seconds in SECONDS:
        tested = asked(serving, tmp_path, seconds)
        if tested > ENOUGH:
            break

    assert tested > ENOUGH
    assert "failure " not in serving.log
    assert serving.request("GET", "/health").status_code == 200
