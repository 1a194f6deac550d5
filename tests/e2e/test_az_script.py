"""Scripts as teams have them for Azure ML, and each command with each flag of it, on a real server and node."""

from __future__ import annotations

import functools
import json
import os
import re
import shlex
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

import gristmill
from az_contract import COMMANDS, OF_ALL, forms
from gristmill.cli import server
from gristmill.cli.main import main, parser
from serving import Serving

#: What the reader of the documentation puts in front, and gristmill as this interpreter runs it.
FRONT = """
set -e
gristmill() { "$PYTHON" -P -m gristmill "$@"; }
az() { shift; gristmill "$@"; }
"""

SCRIPT = """
az configure --defaults workspace=main group=team location=here
ENDPOINT_NAME="mnist-batch-AbC"

az ml compute create -n batch-cluster --type amlcompute --min-instances 0 --max-instances 5 -o none
az ml batch-endpoint create --file endpoint.yml --name $ENDPOINT_NAME
az ml batch-deployment create --file deployment.yml --endpoint-name $ENDPOINT_NAME --set-default \\
  --set settings.environment_variables.GREETING=hello
az ml batch-deployment show --name names-dpl --endpoint $ENDPOINT_NAME -g rg -w ws

JOB_NAME=$(az ml batch-endpoint invoke --name $ENDPOINT_NAME --input images --input-type uri_folder --query name -o tsv)
az ml job show -n $JOB_NAME --web > shown.json
az ml job stream -n $JOB_NAME
STATUS=$(az ml job show -n $JOB_NAME --query status -o tsv)
echo "status $STATUS"
az ml job download --name $JOB_NAME --output-name score --download-path ./
az ml job list --parent-job-name $JOB_NAME --query "[].name" -o tsv

JOB_NAME=$(az ml batch-endpoint invoke -n $ENDPOINT_NAME --f inputs.yml --mini-batch-size 20 --instance-count 1 \\
  --set output_file_name=mine.csv --query name -o tsv)
az ml job stream -n $JOB_NAME > second.log
az ml job download --name $JOB_NAME --output-name score --download-path second

az ml batch-deployment list-jobs --name names-dpl --endpoint-name $ENDPOINT_NAME --query [].name > jobs.json
az ml batch-deployment create --file deployment.yml --name other --endpoint-name $ENDPOINT_NAME -o none
az ml batch-endpoint update --name $ENDPOINT_NAME --set defaults.deployment_name=other
az ml batch-endpoint show --name $ENDPOINT_NAME --query "{Name:name, Defaults:defaults}"
SCORING_URI=$(az ml batch-endpoint show --name $ENDPOINT_NAME --query scoring_uri -o tsv)
AUTH_TOKEN=$(az account get-access-token --resource https://ml.azure.com --query accessToken -o tsv)
echo "$SCORING_URI" "$AUTH_TOKEN" > rest.txt
az ml batch-deployment delete --name names-dpl --endpoint-name $ENDPOINT_NAME --yes
az ml batch-endpoint delete --name $ENDPOINT_NAME --yes
"""

FAILING = """
az ml endpoint create --type batch --name failing -o none
az ml endpoint update --type batch --name failing --deployment-file deployment.yml --deployment bad-dpl -o none
az ml batch-deployment update -n bad-dpl -e failing --set code_configuration.scoring_script=bad.py -o none 2> none.log \
  || az ml batch-deployment create -f deployment.yml -n bad-dpl -e failing -o none \
       --set code_configuration.scoring_script=bad.py
az ml endpoint update --type batch --name failing --traffic bad-dpl:100 -o none
JOB_NAME=$(az ml endpoint invoke --type batch --name failing --input-local-path images --query name -o tsv)
az ml job stream -n $JOB_NAME
echo reached
"""

SCORE = """
import os

def init():
    print("init with", os.environ.get("GREETING"))

def run(mini_batch):
    return [f"{os.path.basename(path)}" for path in mini_batch]
"""

DEPLOYMENT = """
$schema: https://azuremlschemas.azureedge.net/latest/modelBatchDeployment.schema.json
name: names-dpl
endpoint_name: overwritten
type: model
model:
  path: model
code_configuration:
  code: code
  scoring_script: score.py
compute: azureml:batch-cluster
resources:
  instance_count: 1
settings:
  max_concurrency_per_instance: 1
  mini_batch_size: 10
  output_action: append_row
  output_file_name: predictions.csv
  retry_settings:
    max_retries: 1
    timeout: 30
"""

#: What the walk over all commands needs beside the scripts' files.
FILES = {
    "conda.yml": "dependencies:\n  - python=3.11\n",
    "environment.yml": "name: overwritten\nimage: ubuntu\n",
    "model.yml": "name: digits\npath: model\n",
    "data.yml": "name: texts\ntype: uri_folder\npath: images\n",
    "datastore.yml": "name: images\ntype: local\npath: .\ndescription: from a file\n",
    "compute.yml": "name: overwritten\ntype: amlcompute\nmin_instances: 0\nmax_instances: 1\n",
    "invoke.yml": "endpoint: walk\ndeployment: green\ninputs: {digits: {type: uri_folder, path: images}}\n",
    "code/Dockerfile": "FROM ubuntu\n",
    "endpoint-2021.yml": """
        name: overwritten
        type: batch
        auth_mode: aad_token
        traffic: {first: 100}
        deployments:
          - name: first
            model: {local_path: ./model}
            code_configuration: {code: {local_path: ./code}, scoring_script: score.py}
            compute: {target: azureml:waiting, instance_count: 1}
            mini_batch_size: 1
        """,
    "deployment-2021.yml": """
        name: second
        model: {local_path: ./model}
        code_configuration: {code: {local_path: ./code}, scoring_script: score.py}
        compute: {target: azureml:waiting}
        """,
}

COMPUTE = {"name": "batch-cluster", "type": "amlcompute", "max_instances": 5}

WALK = (Path(__file__).with_name("az_commands.console")).read_text()


class Shell:
    """Runs scripts in a folder, against a server."""

    def __init__(self, serving: Serving, folder: Path) -> None:
        self.folder, self.url, self.token = folder, serving.url, serving.token
        self._environment = {**os.environ, "GRISTMILL_URL": serving.url, "GRISTMILL_TOKEN": serving.token}
        self._environment |= {"PYTHON": sys.executable, "HOME": str(folder)}

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", FRONT + script],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )


@pytest.fixture(scope="module")
def shell(redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    folder = tmp_path_factory.mktemp("az")
    project = folder / "project"
    for name in ("images", "model", "code"):
        (project / name).mkdir(parents=True)
    for number in range(25):
        (project / "images" / f"{number:02d}.txt").write_text(str(number))
    (project / "model" / "weights").write_text("7")
    (project / "code" / "score.py").write_text(textwrap.dedent(SCORE))
    (project / "deployment.yml").write_text(DEPLOYMENT)
    (project / "endpoint.yml").write_text("name: overwritten\ndescription: names\nauth_mode: aad_token\n")
    (project / "inputs.yml").write_text("inputs:\n  digits:\n    type: uri_folder\n    path: images\n")
    for name, text in FILES.items():
        (project / name).write_text(textwrap.dedent(text))
    with Serving(
        redis_server, folder, nodes=1, compute="batch-cluster", arguments=["--allow-root", project]
    ) as serving:
        serving.request("PUT", "/computes/batch-cluster", json=COMPUTE).raise_for_status()
        yield Shell(serving, project)


def test_a_script_for_azure_runs(shell: Shell) -> None:
    ran = shell.run(SCRIPT)
    folder = shell.folder

    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "status Completed\n" in ran.stdout
    assert "Execution Summary\n" in ran.stdout
    assert "init with hello\n" in ran.stdout
    names = [f"{number:02d}.txt" for number in range(25)]
    assert sorted((folder / "named-outputs/score/predictions.csv").read_text().split()) == names
    assert sorted((folder / "second/named-outputs/score/mine.csv").read_text().split()) == names
    jobs = json.loads((folder / "jobs.json").read_text())
    assert len(jobs) == 2
    shown = json.loads((folder / "shown.json").read_text())
    assert (shown["name"], shown["endpoint_name"]) == (jobs[1], "mnist-batch-abc")
    # The step's name, and what stands after it.
    assert f"\n{jobs[1]}_batchscoring\n" in ran.stdout
    assert '"Defaults": {\n    "deployment_name": "other"\n  }' in ran.stdout
    uri, token = (folder / "rest.txt").read_text().split()
    assert (uri, token) == (f"{shell.url}/batchEndpoints/mnist-batch-abc/jobs", shell.token)


def test_a_script_ends_where_its_job_fails(shell: Shell) -> None:
    (shell.folder / "code" / "bad.py").write_text(
        "def init():\n    raise KeyError('x')\ndef run(mini_batch):\n    return []\n"
    )
    ran = shell.run(FAILING)

    assert ran.returncode == 3, ran.stdout + ran.stderr
    assert "Status: Failed\n" in ran.stdout
    assert "reached" not in ran.stdout
    assert ran.stderr.splitlines()[-1].startswith("error: ")
    assert "KeyError: 'x'" in ran.stderr


def steps() -> list[tuple[str, str]]:
    """Return the commands of the walk, each with what it is to answer."""
    text = re.sub(r"^#.*\n", "", WALK, flags=re.MULTILINE)
    return [
        (line, told.strip("\n")) for line, _, told in (part.partition("\n") for part in re.split(r"(?m)^\$ ", text)[1:])
    ]


def fits(told: str, wanted: str) -> bool:
    """Return whether a text is as wanted, where `...` is anything, and the space in front of it as long as it likes."""
    return re.fullmatch(re.escape(wanted).replace(r"\.\.\.", ".*"), told, re.DOTALL) is not None


def ask_registry(shell: Shell) -> None:
    with closing(gristmill.Client(shell.url, shell.token)) as client:
        list(client.models.list())


def test_each_command_of_azure_does_what_its_flags_say(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(shell.folder)
    client = gristmill.Client(shell.url, shell.token)
    monkeypatch.setattr(server, "connect", lambda: client)
    monkeypatch.setattr("gristmill.cli.main.parser", functools.cache(parser))
    for name, value in {"GRISTMILL_URL": shell.url, "GRISTMILL_TOKEN": shell.token, "HOME": str(shell.folder)}.items():
        monkeypatch.setenv(name, value)
    wrong = []
    # The registry's first answer takes seconds: MLflow is imported, and makes its tables.
    registry = threading.Thread(target=ask_registry, args=(shell,))
    registry.start()

    for line, wanted in steps():
        try:
            code = main(shlex.split(line))
        except SystemExit as left:
            code = int(left.code or 0)
        out, err = capsys.readouterr()
        refused = re.match(r"! (\d+) (.*)", wanted)
        right = fits(out.strip("\n"), wanted) and code == 0
        if refused:
            right = code == int(refused[1]) and fits(err.replace("\n", " "), f"...{refused[2]}...")
        if not right:
            wrong.append(f"$ {line}\nwanted: {wanted}\n{code}: {out}{err}")

    registry.join()
    client.close()
    assert not wrong, "\n\n".join(wrong)
    folder = shell.folder
    for place in ("got", "child", "every"):
        assert len((folder / place / "named-outputs/score/predictions.csv").read_text().split()) == 25
    assert (folder / "every/artifacts/logs").is_dir()


def test_the_walk_takes_every_flag() -> None:
    typed: dict[str, set[str]] = {name: set() for name in COMMANDS}
    for line, _ in steps():
        words = shlex.split(line)
        for name in COMMANDS:
            if words[: len(name.split())] == name.split():
                typed[name] |= set(words)
    everywhere = set().union(*typed.values())

    own = {
        f"{name} {flag}" for name, text in COMMANDS.items() for flag in text.split() if not typed[name] & forms(flag)
    }
    assert not own
    assert not {flag for flag in OF_ALL.split() if not everywhere & forms(flag)}
