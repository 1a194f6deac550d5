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
from typing import Any, Final

import gristmill

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

import panels

ENDPOINT: Final = "panels"
FILES: Final = 360

#: Seconds between two scrapes (deploy/prometheus/prometheus.yml), and what Grafana makes of that.
STEP: Final = 5.0
RATE: Final = "20s"

SCORE: Final = """\
import time
from pathlib import Path


def init():
    pass


def run(mini_batch):
    time.sleep(0.5)
    names = [Path(path).name for path in mini_batch]
    if "00007.txt" in names:
        raise ValueError("this one never works")
    return names
"""

DEPLOYMENT: Final[dict[str, Any]] = {
    "name": "blue",
    "endpoint_name": ENDPOINT,
    "compute": "local",
    "resources": {"instance_count": 2},
    "settings": {
        "mini_batch_size": 2,
        "error_threshold": 10,
        "max_concurrency_per_instance": 2,
        "retry_settings": {"max_retries": 2},
    },
}


def job(folder: Path) -> str:
    """Run the job to its end, and return its name."""
    (folder / "code").mkdir()
    (folder / "code" / "score.py").write_text(SCORE)
    (folder / "texts").mkdir()
    for number in range(FILES):
        (folder / "texts" / f"{number:05}.txt").touch()
    code = {"code_configuration": {"code": str(folder / "code"), "scoring_script": "score.py"}}
    with gristmill.Client() as client:
        client.batch_endpoints.begin_create_or_update({"name": ENDPOINT}).result()
        client.batch_deployments.begin_create_or_update({**DEPLOYMENT, **code}, set_default=True).result()
        invoked = client.batch_endpoints.invoke(ENDPOINT, input=folder / "texts")
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
