"""Submit a job to a Gristmill server, watch it, and check what came back.

    GRISTMILL_URL=http://host:8890 GRISTMILL_TOKEN=... python examples/submit.py

Without these two variables it speaks to the `gristmill up` of this machine.
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from pathlib import Path

import gristmill

ENDPOINT = "words"

SCORE = """\
import os
import time
from pathlib import Path

PAUSE = float(os.environ["PAUSE"])


def init():
    print("ready")


def run(mini_batch):
    time.sleep(PAUSE)
    return [[Path(path).name, len(Path(path).read_text().split())] for path in mini_batch]
"""


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=40, help="files to make and score (default: 40)")
    parser.add_argument("--instances", type=int, default=2, help="instances that share them (default: 2)")
    parser.add_argument("--pause", type=float, default=0.0, help="seconds that each mini-batch takes (default: 0)")
    parser.add_argument("--compute", default="local", help="whose nodes score (default: local)")
    parser.add_argument("--job-name", help="the job's name (default: a new one)")
    return parser.parse_args()


def prepare(folder: Path, files: int) -> None:
    """Write the code, and an input of so many texts; text number n has n words."""
    (folder / "code").mkdir()
    (folder / "code" / "score.py").write_text(SCORE)
    (folder / "texts").mkdir()
    for number in range(files):
        (folder / "texts" / f"{number:05}.txt").write_text("word " * number)


def deploy(client: gristmill.Client, folder: Path, given: argparse.Namespace) -> None:
    """Make the endpoint and its deployment, or bring them up to date."""
    client.batch_endpoints.begin_create_or_update({"name": ENDPOINT}).result()
    deployment = {
        "name": "counter",
        "endpoint_name": ENDPOINT,
        "compute": given.compute,
        "code_configuration": {"code": str(folder / "code"), "scoring_script": "score.py"},
        "environment_variables": {"PAUSE": str(given.pause)},
        "resources": {"instance_count": given.instances},
        "settings": {"mini_batch_size": 2, "output_format": "csv", "output_file_name": "words.csv", "header": True},
    }
    client.batch_deployments.begin_create_or_update(deployment, set_default=True).result()


def watch(job: gristmill.service.ServiceJob) -> None:
    """Print a line whenever more is done, until the job's end; raise if it failed."""
    told = None
    for event in job.stream():
        if event.name == "progress" and (done := event.data["mini_batches"]) != told:
            told = done
            print(f"{done['done']} of {done['planned']} mini-batches, {event.data['instances']} instances", flush=True)
    job.wait()


def check(client: gristmill.Client, job: gristmill.service.ServiceJob, folder: Path, files: int) -> None:
    """Fetch the output, and compare it with what it must be: each text once, with its number of words."""
    client.jobs.download(job.name, download_path=folder, output_name="score")
    (output,) = folder.rglob("words.csv")
    with output.open(newline="") as rows:
        _, *found = csv.reader(rows)
    expected = [[f"{number:05}.txt", str(number)] for number in range(files)]
    if found != expected or not client.jobs.verify(job.name).ok:
        sys.exit(f"{job.name}: the output is not what it must be")


def main() -> None:
    given = options()
    with gristmill.Client() as client, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder, given.files)
        deploy(client, folder, given)
        job = client.batch_endpoints.invoke(ENDPOINT, input=folder / "texts", job_name=given.job_name)
        print(f"job {job.name}", flush=True)
        watch(job)
        check(client, job, folder, given.files)
    print(f"{job.status}: {given.files} files, each in the output once")


if __name__ == "__main__":
    main()
