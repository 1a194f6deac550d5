"""A server with nodes that note what they score, for tests in which machines and processes come and go."""

from __future__ import annotations

import subprocess
import textwrap
from pathlib import Path
from typing import Any

from serving import Serving

#: Each mini-batch notes who scored it, and takes its time for as long as a file is there.
SCRIPT = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        with open(os.path.join(os.environ["CALLS"], os.environ["TEST_NODE"]), "a") as calls:
            calls.write("".join(f"{name}\\n" for name in names))
        time.sleep(0.1 if os.path.exists(os.environ["HOLD"]) else 0)
        return names
"""


class Fleet:
    """A server, and what is told of the jobs that it is asked for."""

    def __init__(self, serving: Serving, folder: Path) -> None:
        self.serving = serving
        self.folder = folder
        self.calls = folder / "calls"
        self.hold = folder / "hold"
        for path in (self.calls, folder / "code", folder / "model"):
            path.mkdir()
        (folder / "code" / "score.py").write_text(textwrap.dedent(SCRIPT))
        (folder / "model" / "weights").write_text("7")

    def deploy(self) -> None:
        """Make the endpoint."""
        deployment = {
            "name": "blue",
            "endpoint_name": "names",
            "type": "model",
            "model": {"path": str(self.folder / "model")},
            "code_configuration": {"code": str(self.folder / "code"), "scoring_script": "score.py"},
            "environment_variables": {"CALLS": str(self.calls), "HOLD": str(self.hold)},
            "compute": "local",
            "settings": {"mini_batch_size": 1},
        }
        self.ask("PUT", "/batchEndpoints/names", json={"name": "names"})
        self.ask("PUT", "/batchEndpoints/names/deployments/blue", json=deployment)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        answer = self.serving.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json()

    def node(self, name: str, **options: Any) -> subprocess.Popen[str]:
        return self.serving.node(name, slots=1, TEST_NODE=name, **options)

    def invoke(self, name: str, files: int, instances: int = 1) -> None:
        """Ask for a job of so many files."""
        given = self.folder / name
        given.mkdir()
        for number in range(files):
            (given / f"{name}-{number:05d}.txt").touch()
        body = {
            "job_name": name,
            "input": {"type": "uri_folder", "path": str(given)},
            "resources": {"instance_count": instances},
        }
        self.ask("POST", "/batchEndpoints/names/jobs", json=body)

    def scored(self, job: str) -> dict[str, int]:
        """Return how many files of a job each node scored."""
        texts = {path.name: path.read_text().splitlines() for path in self.calls.iterdir()}
        return {name: sum(line.startswith(f"{job}-") for line in lines) for name, lines in texts.items()}

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def check_calm(self, job: str, files: int) -> dict[str, Any]:
        """Wait for a job's end, and make sure that nothing was lost, done twice, or counted against an item."""
        ended = self.check(job, files)
        attempts = ended["summary"]["attempts"]
        assert (attempts["counted"], attempts["retried"], attempts["lost"], attempts["fenced"]) == (files, {}, 0, 0)
        return ended

    def check(self, job: str, files: int) -> dict[str, Any]:
        """Wait for a job's end, and make sure that its output holds each item once."""
        ended = self.serving.until(f"/jobs/{job}", lambda it: it["ended"], 120)
        assert ended["status"] == "Completed", ended
        assert ended["items"] == {"total": files, "succeeded": files, "failed": 0}
        rows = self.serving.request("GET", f"/jobs/{job}/files/score/predictions.csv").text.splitlines()
        assert rows == [f"{job}-{number:05d}.txt" for number in range(files)]
        assert self.ask("POST", f"/jobs/{job}/verify")["ok"]
        return dict(ended)
