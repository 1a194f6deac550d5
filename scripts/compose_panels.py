"""Score files of which one always fails, then ask a cluster's Prometheus for every query of every panel.

    GRISTMILL_URL=http://host:8890 GRISTMILL_TOKEN=... python scripts/compose_panels.py http://host:9090

Prints a row for each query: dashboard, panel, legend, how many series it has, and their values. Exits with 1 if a panel
would be empty. `make compose-test` runs it where the ports of the cluster are.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import gristmill

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import panel_job
import panels

FILES: Final = 360

#: Seconds between two scrapes (deploy/prometheus/prometheus.yml), and what Grafana makes of that.
STEP: Final = 5.0
RATE: Final = "20s"


def job(folder: Path) -> str:
    """Run the job to its end, and return its name."""
    deployment, texts = panel_job.prepare(folder, files=FILES, seconds=0.5)
    endpoint = deployment["endpoint_name"]
    with gristmill.Client() as client:
        client.batch_endpoints.begin_create_or_update({"name": endpoint}).result()
        client.batch_deployments.begin_create_or_update(deployment, set_default=True).result()
        invoked = client.batch_endpoints.invoke(endpoint, input=texts)
        invoked.wait()
        return invoked.name


def main(url: str) -> int:
    """Do it; return 1 if a panel is empty."""
    began = time.time()
    with tempfile.TemporaryDirectory() as folder:
        name = job(Path(folder))
    # The job's last values are scraped.
    time.sleep(3 * STEP)
    prometheus, ended = panels.Prometheus(url), time.time()
    variables = {"job": name, "__rate_interval": RATE}
    answers = [prometheus.answer(query, variables, start=began, end=ended, step=STEP) for query in panels.every_query()]
    print(*answers, sep="\n")
    empty = [answer for answer in answers if not answer.numbers]
    print(f"{len(answers)} queries, {len(empty)} without data")
    return int(bool(empty))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
