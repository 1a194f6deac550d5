"""The files of deploy/ say what the code says. Whether they are well formed, `make lint-deploy` checks."""

from __future__ import annotations

import re
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import doc_blocks
import lock_images
import pytest
import yaml
from packaging.requirements import Requirement

import gristmill
from gristmill.settings import NAMES
from gristmill_storage.queue import KEY_PREFIX, queue_name

DEPLOY = doc_blocks.ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"


def documents(path: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((KUBERNETES / path).read_text()))


def of_kind(path: str, kind: str, name: str) -> dict[str, Any]:
    (found,) = [each for each in documents(path) if each["kind"] == kind and each["metadata"]["name"] == name]
    return found


def compose() -> dict[str, Any]:
    return yaml.safe_load((doc_blocks.ROOT / "compose.yaml").read_text())


def test_the_locks_of_the_images_hold_what_the_project_asks_for() -> None:
    assert lock_images.faults() == [], "make lock-images"


def test_a_lock_that_lacks_a_package_or_has_another_version_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for lock in lock_images.LOCKS.glob("*.txt"):
        (tmp_path / lock.name).write_text(re.sub("^celery==", "kelery==", lock.read_text(), flags=re.MULTILINE))
    runtime = tmp_path / "runtime.txt"
    runtime.write_text(re.sub("^redis==.*?( |$)", "redis==0.1 ", runtime.read_text(), flags=re.MULTILINE))
    monkeypatch.setattr(lock_images, "LOCKS", tmp_path)

    found = lock_images.faults()

    assert "full.txt: celery is missing" in found
    assert "runtime.txt: celery is missing" in found
    assert [fault for fault in found if fault.startswith("runtime.txt: redis is 0.1")]


def test_the_lock_of_the_torch_image_holds_what_torch_asks_for() -> None:
    asked = [Requirement(each) for each in requires("torch") or ()]
    here = {lock_images.normal(each.name) for each in asked if not each.marker or each.marker.evaluate({"extra": ""})}
    gpu = re.compile("cuda-|nvidia-|triton")

    locked, full = (lock_images.pins(lock_images.LOCKS / f"{lock}.txt") for lock in ("torch", "full"))

    assert {name for name in here if not gpu.match(name)} <= set(locked)
    assert full.items() <= locked.items()
    assert "deploy/install.sh packages torch && deploy/install.sh torch " in (DEPLOY / "Dockerfile").read_text()


def test_keda_reads_the_length_of_the_queue_that_its_nodes_serve() -> None:
    job = of_kind("overlays/keda/scaled-job.yaml", "ScaledJob", "node")

    (container,) = job["spec"]["jobTargetRef"]["template"]["spec"]["containers"]
    (compute,) = [word.partition("=")[2] for word in container["args"] if word.startswith("--compute=")]
    (trigger,) = job["spec"]["triggers"]
    assert trigger["metadata"]["listName"] == KEY_PREFIX + queue_name(compute)
    assert any(word.startswith("--leave-when-idle=") for word in container["args"])


def test_a_node_that_starts_counts_as_one_to_come_and_one_that_drains_does_not() -> None:
    spec = of_kind("overlays/keda/scaled-job.yaml", "ScaledJob", "node")["spec"]
    (container,) = spec["jobTargetRef"]["template"]["spec"]["containers"]

    assert spec["scalingStrategy"] == {"strategy": "accurate", "pendingPodConditions": ["Ready"]}
    assert container["startupProbe"]["exec"]["command"] == ["gristmill", "node", "--probe", "ready"]
    assert "readinessProbe" not in container


def test_what_is_stopped_has_longer_than_a_node_gives_to_what_runs() -> None:
    configuration = yaml.safe_load((KUBERNETES / "base/kustomization.yaml").read_text())["configMapGenerator"][0]
    (grace,) = [float(each.partition("=")[2]) for each in configuration["literals"] if "GRACE" in each]
    pods = [
        of_kind("base/node/node.yaml", "Deployment", "node")["spec"]["template"]["spec"],
        of_kind("overlays/keda/scaled-job.yaml", "ScaledJob", "node")["spec"]["jobTargetRef"]["template"]["spec"],
    ]
    example = (DEPLOY / ".env.example").read_text()

    assert [pod["terminationGracePeriodSeconds"] >= grace + 20 for pod in pods] == [True, True]
    (given,) = re.findall(r"^GRISTMILL_GRACE_SECONDS=(\d+)", example, re.MULTILINE)
    assert compose()["services"]["worker"]["stop_grace_period"] == "120s"
    assert int(given) <= 120 - 20


def test_every_image_is_of_this_version() -> None:
    version = gristmill.__version__

    assert f"\nARG VERSION={version}\n" in (DEPLOY / "Dockerfile").read_text()
    assert f"GRISTMILL_IMAGE=gristmill:{version}\n" in (DEPLOY / ".env.example").read_text()
    assert compose()["services"]["worker"]["image"] == f"${{GRISTMILL_IMAGE:-gristmill:{version}}}"
    for path in KUBERNETES.rglob("kustomization.yaml"):
        for image in yaml.safe_load(path.read_text()).get("images", []):
            assert image["newTag"].removesuffix("-torch") == version, path


def test_settings_that_are_given_to_processes_exist() -> None:
    texts = [path.read_text() for path in [*DEPLOY.rglob("*.yaml"), DEPLOY / "Dockerfile", DEPLOY / ".env.example"]]
    texts.append((doc_blocks.ROOT / "compose.yaml").read_text())
    given = {name for text in texts for name in re.findall(r"\bGRISTMILL_[A-Z_]+\b", text)}

    assert given - {"GRISTMILL_IMAGE"} <= set(NAMES)


def test_every_service_is_looked_after_and_opens_its_ports_to_this_machine_alone() -> None:
    services = compose()["services"]
    once = {name for name, service in services.items() if service["restart"] == "no"}

    assert once == {"setup", "container", "metrics-token"}
    for name, service in services.items():
        assert ("test" in service["healthcheck"]) != (name in once), name
        assert service["mem_limit"], name
        assert (name in once) or service["restart"] == "unless-stopped", name
        assert all(port.startswith("${PUBLISH:-127.0.0.1}:") for port in service.get("ports", ())), name
        for other, wanted in service.get("depends_on", {}).items():
            assert wanted["condition"] != "service_healthy" or other not in once, f"{name} waits for {other} in vain"


def test_probes_of_nodes_read_what_the_image_has_nodes_write() -> None:
    pods = [
        of_kind("base/node/node.yaml", "Deployment", "node")["spec"]["template"]["spec"],
        of_kind("overlays/keda/scaled-job.yaml", "ScaledJob", "node")["spec"]["jobTargetRef"]["template"]["spec"],
    ]
    (pulse,) = re.findall(r"GRISTMILL_PULSE_FILE=(\S+)", (DEPLOY / "Dockerfile").read_text())

    for pod in pods:
        (container,) = pod["containers"]
        assert container["livenessProbe"]["exec"]["command"] == ["gristmill", "node", "--probe"]
        assert any(pulse.startswith(mount["mountPath"] + "/") for mount in container["volumeMounts"])
    assert compose()["services"]["worker"]["healthcheck"]["test"] == ["CMD", "gristmill", "node", "--probe"]


def test_a_node_with_gpus_takes_one_instance_at_a_time() -> None:
    """Its scorers share what it has (`CUDA_VISIBLE_DEVICES`); two instances would not know of each other."""
    patch = {
        each["path"].rpartition("/")[2]: each["value"] for each in documents("overlays/gpu/nodes/gpu-patch.yaml")[0]
    }

    assert patch["args"] == ["--compute=gpu", "--slots=1"]
    assert patch["resources"]["limits"]["nvidia.com/gpu"] >= 1
    assert patch["image"].endswith("-torch")


def test_no_password_stands_in_a_file() -> None:
    given = re.findall(r"^(\w*(?:PASSWORD|KEY|SECRET)\w*)=(.*)$", (DEPLOY / ".env.example").read_text(), re.MULTILINE)

    assert given
    assert not [name for name, value in given if value]
