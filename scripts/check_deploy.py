"""Check the files of deploy/ and compose.yaml without an engine or a cluster; print what is wrong.

    .venv-deploy/bin/python scripts/check_deploy.py       `make lint-deploy` makes that environment

Beside schemas it compares what must agree: the settings of .env.example with those that compose.yaml reads, and the
locks of the images with pyproject.toml.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import lock_images
import yaml

ROOT: Final = Path(__file__).parent.parent
DEPLOY: Final = ROOT / "deploy"
BIN: Final = Path(sys.executable).parent

#: Kinds of KEDA hold a pod's template, which is checked as that of a Job.
_FOREIGN: Final = "keda.sh/"

_READ: Final = re.compile(r"\$\{([A-Z_]+)[:}]|^  ([A-Z_]+):$", re.MULTILINE)
_GIVEN: Final = re.compile(r"^(?:# )?([A-Z_]+)=", re.MULTILINE)


def dockerfile() -> Iterator[str]:
    """Find what hadolint says of the Dockerfile."""
    yield from said(BIN / "hadolint", DEPLOY / "Dockerfile")


def scripts() -> Iterator[str]:
    """Find scripts that a shell cannot read, or that cannot be run."""
    for script in sorted(DEPLOY.rglob("*.sh")):
        yield from said("sh", "-n", script)
        if not script.stat().st_mode & 0o100:
            yield f"{script}: is not executable"


def compose() -> Iterator[str]:
    """Find what the schema of Compose, and Compose itself, say of compose.yaml."""
    yield from said(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", ROOT / "compose.yaml")
    where = ("--env-file", DEPLOY / ".env.example", "--project-directory", ROOT, "-f", ROOT / "compose.yaml")
    yield from said(BIN / "docker-compose", *where, "config", "--quiet")
    document = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    for key in sorted(set(document) & {"name", "develop"}):
        yield f"compose.yaml: {key}: docker-compose 1.29 refuses it"
    for name, service in document["services"].items():
        missing = {"mem_limit", "healthcheck", "read_only", "user", "restart"} - set(service)
        yield from (f"compose.yaml: {name}: {key} is missing" for key in sorted(missing))


def settings() -> Iterator[str]:
    """Find settings of .env.example that compose.yaml does not read."""
    read = {name for pair in _READ.findall((ROOT / "compose.yaml").read_text("utf-8")) for name in pair}
    given = set(_GIVEN.findall((DEPLOY / ".env.example").read_text("utf-8")))
    yield from (f".env.example: {name} is not read by compose.yaml" for name in sorted(given - read))


def kubernetes() -> Iterator[str]:
    """Find what Kubernetes' schemas say of what each kustomization comes to."""
    folders = sorted(path.parent for path in (DEPLOY / "kubernetes").rglob("kustomization.yaml"))
    for folder in folders:
        done = subprocess.run([BIN / "kubectl", "kustomize", folder], capture_output=True, text=True, check=False)
        if done.returncode:
            yield f"{folder}: {done.stderr}"
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump_all(map(known, yaml.safe_load_all(done.stdout)), file)
            file.flush()
            yield from said(BIN / "kubernetes-validate", "--strict", "--quiet", file.name, about=folder)


def known(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document as one of a kind whose schema is at hand."""
    if not document["apiVersion"].startswith(_FOREIGN):
        return document
    if job := document["spec"].get("jobTargetRef"):
        return {"apiVersion": "batch/v1", "kind": "Job", "metadata": document["metadata"], "spec": job}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": document["metadata"]}


def dashboards() -> Iterator[str]:
    """Find dashboards that are no JSON, or have a name or an id that another has."""
    seen: dict[str, Path] = {}
    for path in sorted((DEPLOY / "grafana" / "dashboards").glob("*.json")):
        document = json.loads(path.read_text("utf-8"))
        for key in ("uid", "title"):
            if not document.get(key):
                yield f"{path}: {key} is missing"
            elif (other := seen.setdefault(f"{key} {document[key]}", path)) != path:
                yield f"{path}: {key} is that of {other}"


def locks() -> Iterator[str]:
    """Find what the images' locks lack."""
    yield from lock_images.faults()


def said(*command: object, about: object = "") -> Iterator[str]:
    """Yield what a checker prints when it is not content."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    if done.returncode:
        yield f"{about} {command[0]}: {done.stdout}{done.stderr}".strip()


CHECKS: Final[tuple[Callable[[], Iterator[str]], ...]] = (
    dockerfile,
    scripts,
    compose,
    settings,
    kubernetes,
    dashboards,
    locks,
)


def main() -> int:
    """Run every check."""
    found = 0
    for check in CHECKS:
        faults = list(check())
        found += len(faults)
        print(f"{check.__name__}: {'ok' if not faults else ''}", *faults, sep="\n  " if faults else "")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main())
