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
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

ROOT: Final = Path(__file__).parent.parent
DEPLOY: Final = ROOT / "deploy"
BIN: Final = Path(sys.executable).parent

#: What docker-compose 1.29 has its files checked against.
OLD_COMPOSE: Final = BIN.parent / "compose-1.29" / "compose" / "config" / "compose_spec.json"

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
    """Find what the schemas of Compose and of docker-compose 1.29, and Compose itself, say of compose.yaml."""
    schemas = ("--builtin-schema", "vendor.compose-spec"), ("--schemafile", OLD_COMPOSE)
    for schema in schemas:
        yield from said(BIN / "check-jsonschema", *schema, ROOT / "compose.yaml")
    where = ("--env-file", DEPLOY / ".env.example", "--project-directory", ROOT, "-f", ROOT / "compose.yaml")
    yield from said(BIN / "docker-compose", *where, "config", "--quiet")
    document = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
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
    """Find dashboards that their schema refuses, that Grafana's own model reads otherwise, or that have one name."""
    paths = sorted((DEPLOY / "grafana" / "dashboards").glob("*.json"))
    schema = DEPLOY / "grafana" / "dashboard.schema.json"
    yield from said(BIN / "check-jsonschema", "--check-metaschema", schema)
    yield from said(BIN / "check-jsonschema", "--schemafile", schema, *paths)
    seen: dict[str, Path] = {}
    for path in paths:
        document = json.loads(path.read_text("utf-8"))
        yield from (f"{path}: {difference}" for difference in differences(document, as_grafana_reads(document)))
        for key in ("uid", "title"):
            if (other := seen.setdefault(f"{key} {document.get(key)}", path)) != path:
                yield f"{path}: {key} is that of {other}"


def as_grafana_reads(document: dict[str, Any]) -> object:
    """Return a dashboard after a journey through the classes of Grafana's SDK, which drop what they do not know."""
    register_default_plugins()
    read: object = json.loads(JSONEncoder().encode(Dashboard.from_json(document)))
    return read


def differences(ours: object, read: object, place: str = "") -> Iterator[str]:
    """Find what of ours is not in what was read; more may be there, as defaults are."""
    match ours, read:
        case dict(), dict():
            for key in ours:
                yield from differences(ours[key], read.get(key), f"{place}.{key}")
        case list(), list() if len(ours) == len(read):
            for number, pair in enumerate(zip(ours, read, strict=True)):
                yield from differences(*pair, f"{place}[{number}]")
        case _ if ours != read:
            yield f"{place.removeprefix('.')}: Grafana does not know {json.dumps(ours)} there"


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
