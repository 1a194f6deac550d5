"""A shell script as teams have them for Azure ML, with one function in front of it, on a real server and node."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

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
            timeout=100,
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
    with Serving(redis_server, folder, nodes=1, compute="batch-cluster") as serving:
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
