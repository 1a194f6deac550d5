"""The environment variables of a scorer process: the node's, without what is ours, and what Azure's scripts expect."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from gristmill import spec

#: Libraries that start a thread a core in each process unless told otherwise.
THREADS: Final = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
    "RAYON_NUM_THREADS",
    "POLARS_MAX_THREADS",
    "TF_NUM_INTRAOP_THREADS",
)

#: Bytes from which glibc takes a block from the system on its own, and bytes of freed memory that it keeps. Both are
#: what it comes to by itself once a program has freed a block of 32 MiB; before that it gives back what the next
#: mini-batch asks for again, a page fault for every 4 KiB. Other allocators do not read them. Source: mallopt(3).
MEMORY: Final = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(64 << 20)}

#: What belongs to this process's own Python, and would mislead another.
_PYTHONS: Final = frozenset(
    {
        "PYTHONPATH",
        "PYTHONHOME",
        "PYTHONSTARTUP",
        "PYTHONUSERBASE",
        "PYTHONEXECUTABLE",
        "PYTHONSAFEPATH",
        "PYTHONUNBUFFERED",
        "PYTHONINSPECT",
        "PYTHONPLATLIBDIR",
        "PYTHONPYCACHEPREFIX",
        "__PYVENV_LAUNCHER__",
        "VIRTUAL_ENV",
        "VIRTUAL_ENV_PROMPT",
        "CONDA_PREFIX",
        "CONDA_DEFAULT_ENV",
        "CONDA_PROMPT_MODIFIER",
        "CONDA_SHLVL",
        "PYENV_VERSION",
    }
)

#: What the node itself sets for a scorer: no Python or system library reads any of it at its start.
SET_BY_NODES: Final = frozenset(
    {
        *THREADS,
        *("AZUREML_MODEL_DIR", "AZUREML_BI_OUTPUT_PATH", "CUDA_VISIBLE_DEVICES", "AZ_BATCHAI_GPU_COUNT_FOUND"),
        *("MLFLOW_TRACKING_URI", "MLFLOW_ALLOW_FILE_STORE", "MLFLOW_DISABLE_TELEMETRY", "GIT_PYTHON_REFRESH", "PATH"),
    }
)

#: Names of settings that lead to the broker and to the ledger, which user code has no business with.
_OURS: Final = re.compile(r"(GRISTMILL|REDIS|VALKEY|CELERY|KOMBU|BROKER|FLOWER)(_|$)")


def inherited(base: Mapping[str, str]) -> dict[str, str]:
    """Return what another program may have of this process's environment: nothing of our Python, no secret of ours."""
    redis = base.get("GRISTMILL_REDIS_URL") or None
    return {
        name: value
        for name, value in base.items()
        if name not in _PYTHONS and not _OURS.match(name) and not (redis and redis in value)
    }


def born_with(base: Mapping[str, str]) -> dict[str, str]:
    """Return what any scorer's process has in its environment when it starts, of a node that has this one."""
    return {**MEMORY, **inherited(base)}


def scorer_variables(
    deployment: spec.Deployment,
    *,
    base: Mapping[str, str],
    azureml_model_dir: Path | None,
    output_dir: Path,
    scratch: Path,
    cores: int,
    process: int,
    gpus: Sequence[str] | None = None,
    python: Path | None = None,
) -> dict[str, str]:
    """Return the environment of one scorer, whole; the deployment's own variables win over all others.

    Args:
        deployment: The deployment.
        base: The node's environment.
        azureml_model_dir: The folder that holds the model under its own name; None without a model.
        output_dir: The private folder that a script writes files into.
        scratch: A folder of this scorer's own, where MLflow keeps what the script logs.
        cores: Cores that this instance may use, for all its scorers together.
        process: The scorer's number in its instance, from 0; a replaced scorer's number is its successor's.
        gpus: What CUDA calls the GPUs that this instance may use; None: all that the machine shows.
        python: The scorer's interpreter; programs beside it come first on PATH.

    """
    scorers = max(1, deployment.settings.max_concurrency_per_instance)
    variables = born_with(base)
    variables |= _azure(azureml_model_dir, output_dir)
    threads = _threads(threads_of(deployment, cores))
    variables |= {**threads, **_mlflow(scratch), **variables}
    if deployment.settings.tuning.threads_per_scorer is not None:
        variables |= threads  # the deployment knows better than the node
    variables |= _cuda(visible_gpus(base) if gpus is None else gpus, process, scorers)
    if python is not None:
        variables["PATH"] = os.pathsep.join(filter(None, [str(python.parent), variables.get("PATH", "")]))
    return variables | deployment.environment_variables


def threads_of(deployment: spec.Deployment, cores: int) -> int:
    """Return the threads of each scorer, of an instance that may use so many cores."""
    scorers = max(1, deployment.settings.max_concurrency_per_instance)
    return deployment.settings.tuning.threads_per_scorer or max(1, cores // scorers)


def _azure(model: Path | None, output: Path) -> dict[str, str]:
    return {**({"AZUREML_MODEL_DIR": str(model)} if model else {}), "AZUREML_BI_OUTPUT_PATH": str(output)}


def _threads(share: int) -> dict[str, str]:
    return dict.fromkeys(THREADS, str(share))


def _mlflow(scratch: Path) -> dict[str, str]:
    """Return what makes mlflow.log_* work without a server: Azure's scripts call it in init() and run().

    A folder of each scorer's own, because two that make one MLflow folder at the same moment disturb each other.
    MLflow 3 keeps folders only for those who insist, and reports its use to its makers unless told not to.
    """
    return {
        "MLFLOW_TRACKING_URI": (scratch / "mlruns").absolute().as_uri(),
        "MLFLOW_ALLOW_FILE_STORE": "true",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }


def _cuda(gpus: Sequence[str], process: int, scorers: int) -> dict[str, str]:
    """Return a scorer's share of the GPUs: one each in turn, or several where there are more GPUs than scorers."""
    if not gpus:
        return {}
    mine = list(gpus[process % scorers :: scorers]) or [gpus[process % len(gpus)]]
    return {"CUDA_VISIBLE_DEVICES": ",".join(mine), "AZ_BATCHAI_GPU_COUNT_FOUND": str(len(gpus))}


def visible_gpus(base: Mapping[str, str], devices: Path = Path("/dev")) -> tuple[str, ...]:
    """Return what CUDA calls the GPUs that this process may use: its own limit, or a number for each device."""
    limit = base.get("CUDA_VISIBLE_DEVICES")
    if limit is not None:
        names = [name.strip() for name in limit.split(",")]
        end = next((index for index, name in enumerate(names) if name in ("", "-1", "NoDevFiles")), len(names))
        return tuple(names[:end])  # CUDA itself stops reading at the first name that is none
    with contextlib.suppress(OSError):
        found = [path for path in devices.iterdir() if re.fullmatch(r"nvidia\d+", path.name)]
        return tuple(str(index) for index in range(len(found)))
    return ()


def available_cores(groups: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> int:
    """Return how many cores this process may use: of those it is bound to, as many as its containers' quotas allow."""
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = min(_quotas(groups, membership), default=math.inf)
    return max(1, bound if quota >= bound else math.floor(quota))


def _quotas(groups: Path, membership: Path) -> list[float]:
    """Return the quotas, in cores, of this process's control groups and of all that they are in."""
    quotas = []
    with contextlib.suppress(OSError):
        for line in membership.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "" or "cpu" in controllers.split(","):
                root = groups / "cpu" if controllers else groups
                folder = root / path.strip("/")
                quotas += [_quota(each) for each in (folder, *folder.parents) if each.is_relative_to(root)]
    return quotas


def _quota(folder: Path) -> float:
    """Return a control group's quota in cores, of the second or of the first version; infinite where it has none."""
    with contextlib.suppress(OSError, ValueError):
        allowed, period = (folder / "cpu.max").read_text().split()
        return math.inf if allowed == "max" else int(allowed) / int(period)
    with contextlib.suppress(OSError, ValueError):
        quota = int((folder / "cpu.cfs_quota_us").read_text())
        return quota / int((folder / "cpu.cfs_period_us").read_text()) if quota > 0 else math.inf
    return math.inf
