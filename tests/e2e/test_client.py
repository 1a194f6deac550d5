"""The Python client and the real server, with a node that scores."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import doc_blocks
import pytest

import gristmill
from gristmill.errors import InitFailed, Mistake, PreconditionFailed, ResourceNotFound
from gristmill.service import ServiceJob
from gristmill.settings import ProcessSettings
from serving import Serving

SCRIPT = """\
import glob, os

def init():
    global weights
    (path,) = glob.glob(os.environ["AZUREML_MODEL_DIR"] + "/net/*.txt")
    weights = open(path).read()
    print("the weights are", weights)

def run(mini_batch):
    rows = []
    for path in mini_batch:
        if os.path.basename(path) == "bad.txt":
            raise ValueError("bad file")
        rows.append([os.path.basename(path), weights])
    return rows
"""

SETTINGS = {
    "mini_batch_size": 1,
    "retry_settings": {"max_retries": 1},
    "output_format": "csv",
    "header": True,
    "output_file_name": "scores.csv",
}

DEPLOYMENT = {
    "name": "blue",
    "endpoint_name": "names",
    "type": "model",
    "model": {"path": "net"},
    "code_configuration": {"code": "code", "scoring_script": "score.py"},
    "settings": SETTINGS,
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Code, a model, an input, and YAML files of an endpoint and a deployment."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("code", "net", "images", "seen"):
        (folder / name).mkdir()
    (folder / "code" / "score.py").write_text(SCRIPT)
    (folder / "net" / "weights.txt").write_text("seven")
    for name in ("a.txt", "b.txt", "bad.txt", "c.txt"):
        (folder / "images" / name).write_text(name)
    (folder / "seen" / "a.txt").write_text("a.txt")
    (folder / "endpoint.yml").write_text("name: names\n")
    (folder / "deployment.yml").write_text(json.dumps(DEPLOYMENT))
    (folder / "alone.yml").write_text(json.dumps({**DEPLOYMENT, "endpoint_name": "alone"}))
    return folder


@pytest.fixture(scope="module")
def serving(redis_server: str, project: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    roots = ["--allow-root", project / "seen"]
    with Serving(redis_server, tmp_path_factory.mktemp("serving"), nodes=1, arguments=roots) as serving:
        yield serving


@pytest.fixture(scope="module")
def client(serving: Serving, project: Path) -> Iterator[gristmill.Client]:
    with gristmill.Client(serving.url, serving.token) as client:
        client.batch_endpoints.begin_create_or_update(project / "endpoint.yml").result()
        client.batch_deployments.begin_create_or_update(project / "deployment.yml", set_default=True).result()
        yield client


@pytest.fixture(scope="module")
def job(client: gristmill.Client, project: Path) -> ServiceJob:
    job = client.batch_endpoints.invoke("names", input=project / "images", job_name="first", tags={"a": "b"})
    assert job.inputs.input.path.startswith("upload:")
    return job.wait(timeout=60, progress=True)


def test_from_yaml_to_a_table(client: gristmill.Client, job: ServiceJob) -> None:
    assert job.status == "Completed"
    assert job.tags.a == "b"
    assert job.summary["items"] == {"total": 4, "succeeded": 3, "failed": 1}
    table = job.to_pandas()
    assert sorted(table.iloc[:, 0]) == ["a.txt", "b.txt", "c.txt"]
    assert set(table.iloc[:, 1]) == {"seven"}
    (error,) = job.errors()
    assert error["file"] == "bad.txt"
    assert error["category"] == "exception"
    assert client.jobs.verify("first").ok
    assert "3" in job._repr_html_()


def test_a_job_can_be_found_followed_and_fetched_when_it_has_ended(
    client: gristmill.Client, job: ServiceJob, tmp_path: Path
) -> None:
    assert [each.name for each in client.batch_endpoints.list_jobs("names")][-1] == "first"
    assert "first" in [each.name for each in client.batch_deployments.list_jobs("names", name="blue")]
    assert [each.parent_job_name for each in client.jobs.list(parent_job_name="first")] == ["first"]
    assert client.jobs.get("first_batchscoring").status == "Completed"

    out = io.StringIO()
    client.jobs.stream("first", out=out)
    assert "the weights are seven" in out.getvalue()
    assert "Status: Completed" in out.getvalue()

    client.jobs.download("first", tmp_path, all=True)
    assert (tmp_path / "named-outputs" / "score" / "scores.csv").read_text().count("seven") == 3
    assert list((tmp_path / "artifacts").rglob("*stdout*"))
    client.jobs.download("first_batchscoring", tmp_path / "child", output_name="score")
    assert (tmp_path / "child" / "named-outputs" / "score" / "scores.csv").is_file()
    with pytest.raises(Mistake, match="has no output 'scores'"):
        client.jobs.download("first", tmp_path, output_name="scores")

    client.jobs.archive("first")
    assert "first" not in [each.name for each in client.jobs.list()]
    client.jobs.restore("first")
    assert "first" in [each.name for each in client.jobs.list(max_results=5)]


def test_a_script_that_cannot_begin_is_raised_as_itself(client: gristmill.Client, project: Path) -> None:
    deployment = dict(client.batch_deployments.get("blue", "names"))
    code = project / "broken"
    code.mkdir()
    (code / "score.py").write_text(
        "def init():\n    raise RuntimeError('no weights')\ndef run(batch):\n    return batch\n"
    )
    document = json.loads((project / "deployment.yml").read_text())
    document |= {"name": "green", "model": {"path": str(project / "net")}}
    document["code_configuration"]["code"] = str(code)
    client.batch_deployments.begin_create_or_update(document)
    assert dict(client.batch_deployments.get("blue", "names")) == deployment

    # The server may open that folder itself.
    job = client.batch_endpoints.invoke("names", deployment_name="green", input=project / "seen")
    assert job.inputs.input.path.rstrip("/") == str(project / "seen")
    with pytest.raises(InitFailed, match="no weights"):
        job.wait(timeout=60)


def test_two_who_change_an_endpoint_do_not_undo_each_other(client: gristmill.Client) -> None:
    client.batch_endpoints.begin_create_or_update({"name": "shared"})
    mine, theirs = client.batch_endpoints.get("shared"), client.batch_endpoints.get("shared")

    theirs.description = "theirs"
    client.batch_endpoints.begin_create_or_update(theirs)
    mine.description = "mine"
    with pytest.raises(PreconditionFailed):
        client.batch_endpoints.begin_create_or_update(mine)

    theirs.description = "theirs again"
    assert client.batch_endpoints.begin_create_or_update(theirs).result().description == "theirs again"
    client.batch_endpoints.begin_delete("shared")
    with pytest.raises(ResourceNotFound):
        client.batch_endpoints.get("shared")


def test_inputs_have_names_and_versions(client: gristmill.Client, project: Path) -> None:
    document = {"name": "images", "type": "uri_folder", "path": str(project / "images")}
    first = client.data.create_or_update(document)
    client.data.create_or_update({**document, "description": "again"})

    assert (first.version, client.data.get("images").version) == ("1", "2")
    assert [each.version for each in client.data.list("images")] == ["2", "1"]
    client.data.archive("images", "1")
    assert [each.version for each in client.data.list("images")] == ["2"]

    job = client.batch_endpoints.invoke(
        "names",
        inputs={"anything": gristmill.Input(path="images@latest")},
        params_override=[{"output_file_name": "other.csv"}],
    )
    assert job.inputs.anything.path.startswith("azureml:images")
    job.wait(timeout=60)
    assert len(job.to_pandas()) == 3
    assert job.outputs.score.path.endswith("/other.csv")


def test_the_server_of_the_environment_is_found(serving: Serving, client: gristmill.Client) -> None:
    settings = ProcessSettings.read({"GRISTMILL_URL": serving.url, "GRISTMILL_TOKEN": serving.token, "HOME": "/none"})

    with gristmill.Client(settings=settings) as found:
        assert found.status().redis
        assert found.info().api == 1


#: What a program does with the client, in an interpreter that has little beside it.
ALONE = """\
import io, sys

sys.path += sys.argv[1:3]
import gristmill

client, folder = gristmill.Client(sys.argv[3], sys.argv[4]), sys.argv[5]
client.batch_endpoints.begin_create_or_update({"name": "alone"}).result()
made = client.batch_deployments.begin_create_or_update(f"{folder}/alone.yml", set_default=True).result()
made["settings"]["error_threshold"] = 5
client.batch_deployments.begin_create_or_update(made).result()
client.models.create_or_update({"name": "alone", "path": f"{folder}/net"})
client.data.create_or_update({"name": "alone", "path": f"{folder}/images"})
client.compute.begin_create_or_update({"name": "alone", "max_instances": 2}).result()
job = client.batch_endpoints.invoke("alone", input="azureml:alone@latest", params_override=[{"error_threshold": 4}])
out = io.StringIO()
client.jobs.stream(job.name, out=out)
assert "Status: Completed" in out.getvalue()
assert job.wait(timeout=60, progress=True).summary["items"]["failed"] == 1
assert [error["file"] for error in job.errors()] == ["bad.txt"]
client.jobs.download(job.name, download_path=sys.argv[6], output_name="score")
assert job.name in [each.name for each in client.jobs.list()]
assert client.jobs.verify(job.name).ok
assert job._repr_html_()
try:
    job.to_pandas()
except gristmill.errors.MissingExtra as error:
    print(error.message)
client.close()
"""


def linked(folder: Path, *names: str) -> Path:
    """Make a folder with so many distributions, and all that they ask for."""
    folder.mkdir()
    waiting, seen = [*names], set()
    while waiting:
        if (name := waiting.pop()) in seen:
            continue
        seen.add(name)
        found = metadata.distribution(name)
        waiting += [re.split(r"[^\w.-]", each)[0] for each in found.requires or () if ";" not in each]
        for top in {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}:
            (folder / top).symlink_to(found.locate_file(top))
    return folder


def test_httpx_and_yaml_are_all_that_the_client_needs(
    serving: Serving, client: gristmill.Client, project: Path, tmp_path: Path
) -> None:
    site = linked(tmp_path / "site", "httpx", "PyYAML")
    here = Path(gristmill.__file__).parent.parent
    arguments = [here, site, serving.url, serving.token, project, tmp_path / "got"]
    done = subprocess.run(
        # Neither what is installed beside it nor what the environment names.
        [sys.executable, "-I", "-S", "-c", ALONE, *map(str, arguments)],
        cwd=tmp_path,
        env={"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout == "to_pandas() needs an optional part: pip install 'gristmill[mlflow]'\n"
    assert len((tmp_path / "got/named-outputs/score/scores.csv").read_text().splitlines()) == 4


def test_the_example_of_programs_that_submit_jobs_checks_what_came_back(serving: Serving) -> None:
    example = doc_blocks.ROOT / "examples" / "submit.py"
    environment = {**os.environ, "GRISTMILL_URL": serving.url, "GRISTMILL_TOKEN": serving.token}

    done = subprocess.run(
        [sys.executable, example, "--files", "9", "--instances", "1", "--pause", "0.5"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout.endswith("Completed: 9 files, each in the output once\n"), done.stderr
    assert " of 5 mini-batches" in done.stdout
