from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from gristmill import spec
from gristmill_workers.scorer_environment import (
    MEMORY,
    THREADS,
    available_cores,
    inherited,
    scorer_variables,
    visible_gpus,
)

HERE = Path("/scratch")


def variables(base=None, *, scorers=1, threads=None, own=None, cores=8, process=0, model=None, scratch=HERE, **more):
    tuning = spec.Tuning(threads_per_scorer=threads)
    settings = spec.Settings(max_concurrency_per_instance=scorers, tuning=tuning)
    deployment = spec.Deployment(settings=settings, environment_variables=own or {})
    return scorer_variables(
        deployment,
        base=base or {},
        azureml_model_dir=model,
        output_dir=Path("/out"),
        scratch=scratch,
        cores=cores,
        process=process,
        **{"gpus": (), **more},
    )


def test_azures_variables_are_there():
    found = variables(model=Path("/m"), base={"AZUREML_MODEL_DIR": "/old"})
    assert (found["AZUREML_MODEL_DIR"], found["AZUREML_BI_OUTPUT_PATH"]) == ("/m", "/out")
    assert "AZUREML_MODEL_DIR" not in variables()


def test_the_nodes_environment_comes_through_without_what_is_ours():
    ours = {
        "GRISTMILL_REDIS_URL": "redis://:secret@host/0",
        "GRISTMILL_CACHE": "/c",
        "REDIS_PASSWORD": "x",
        "CELERY_BROKER_URL": "x",
        "BROKER_URL": "x",
        "SOMEBODYS_COPY": "to redis://:secret@host/0",
        "PYTHONPATH": "/p",
        "PYTHONHOME": "/h",
        "PYTHONUNBUFFERED": "1",
        "VIRTUAL_ENV": "/v",
        "CONDA_PREFIX": "/c",
    }
    theirs = {
        "PATH": "/bin",
        "HOME": "/home/x",
        "HTTPS_PROXY": "http://p",
        "PYTHONHASHSEED": "0",
        "REDISTRIBUTE": "yes",
    }
    assert inherited({**ours, **theirs}) == theirs
    found = variables({**ours, **theirs})
    assert not ours.keys() & found.keys()
    assert theirs.items() <= found.items()


def test_the_deployments_own_variables_win_over_all():
    own = {
        "OMP_NUM_THREADS": "5",
        "AZUREML_BI_OUTPUT_PATH": "/mine",
        "PYTHONPATH": "lib",
        "MLFLOW_TRACKING_URI": "http://t",
    }
    assert own.items() <= variables({"OMP_NUM_THREADS": "3"}, own=own).items()


@pytest.mark.parametrize(("cores", "scorers", "share"), [(8, 1, "8"), (8, 3, "2"), (2, 4, "1"), (1, 1, "1")])
def test_scorers_share_the_cores(cores, scorers, share):
    found = variables(cores=cores, scorers=scorers)
    assert {found[name] for name in THREADS} == {share}


def test_a_thread_count_that_somebody_set_stays():
    found = variables({"MKL_NUM_THREADS": "3"}, scorers=4)
    assert (found["MKL_NUM_THREADS"], found["OMP_NUM_THREADS"]) == ("3", "2")


def test_a_thread_count_of_the_deployment_wins_over_the_nodes():
    found = variables({"MKL_NUM_THREADS": "3"}, scorers=4, threads=6, own={"OMP_NUM_THREADS": "1"})
    assert (found["MKL_NUM_THREADS"], found["OMP_NUM_THREADS"], found["NUMBA_NUM_THREADS"]) == ("6", "1", "6")


def test_freed_memory_is_kept_as_far_as_nobody_says_otherwise():
    name = "MALLOC_TRIM_THRESHOLD_"
    assert MEMORY.items() <= variables().items()
    assert variables({name: "1"})[name] == "1"
    assert variables({name: "1"}, own={name: "2"})[name] == "2"


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc's allocator")
def test_what_a_mini_batch_freed_is_not_asked_of_the_system_again():
    script = """if True:
        import resource
        def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        def work(): return [b"x" * (size << 20) for size in range(4, 10)] and None
        work()
        begun = faults()
        for _ in range(10): work()
        print(faults() - begun)
    """
    bare = {name: value for name, value in os.environ.items() if name not in MEMORY}
    kept, returned = (
        int(subprocess.run([sys.executable, "-Sc", script], env=bare | more, capture_output=True, check=True).stdout)
        for more in (MEMORY, {})
    )
    assert returned > 50_000
    assert kept < returned / 5


def test_mlflow_logs_into_a_private_folder_unless_a_server_is_set():
    assert variables()["MLFLOW_TRACKING_URI"] == "file:///scratch/mlruns"
    assert variables({"MLFLOW_TRACKING_URI": "http://server"})["MLFLOW_TRACKING_URI"] == "http://server"


@pytest.mark.parametrize(
    ("gpus", "scorers", "shares"),
    [
        (("0", "1"), 2, ["0", "1"]),
        (("0", "1"), 4, ["0", "1", "0", "1"]),
        (("0", "1", "2", "3"), 2, ["0,2", "1,3"]),
        (("0", "1"), 1, ["0,1"]),
        (("GPU-a", "GPU-b"), 3, ["GPU-a", "GPU-b", "GPU-a"]),
    ],
)
def test_scorers_share_the_gpus(gpus, scorers, shares):
    found = [variables(scorers=scorers, process=number, gpus=gpus) for number in range(scorers)]
    assert [each["CUDA_VISIBLE_DEVICES"] for each in found] == shares
    assert {each["AZ_BATCHAI_GPU_COUNT_FOUND"] for each in found} == {str(len(gpus))}


def test_without_gpus_nothing_is_said_of_them():
    assert not {"CUDA_VISIBLE_DEVICES", "AZ_BATCHAI_GPU_COUNT_FOUND"} & variables().keys()


@pytest.mark.parametrize(
    ("limit", "gpus"),
    [("1,3", ("1", "3")), ("GPU-a, MIG-b", ("GPU-a", "MIG-b")), ("", ()), ("-1", ()), ("0,-1,1", ("0",))],
)
def test_the_nodes_own_limit_on_gpus_holds(limit, gpus, tmp_path):
    (tmp_path / "nvidia0").touch()
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": limit}, tmp_path) == gpus


def test_gpus_are_counted_by_their_devices(tmp_path):
    for name in ("nvidia3", "nvidia7", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert visible_gpus({}, tmp_path) == ("0", "1")
    assert visible_gpus({}, tmp_path / "gone") == ()


def test_programs_beside_the_scorers_python_come_first_on_path():
    assert variables({"PATH": "/bin"}, python=Path("/env/bin/python"))["PATH"] == f"/env/bin{os.pathsep}/bin"


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("_max", ".max").replace("cpu_cfs", "cpu.cfs")).write_text(text)


@pytest.fixture
def one_core_of_many(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


@pytest.mark.usefixtures("one_core_of_many")
@pytest.mark.parametrize(
    ("own", "above", "cores"),
    [
        ("250000 100000", "max 100000", 2),
        ("max 100000", "400000 100000", 4),
        ("50000 100000", "max 100000", 1),
        ("max 100000", "max 100000", 16),
    ],
)
def test_a_containers_quota_of_the_second_version_counts(tmp_path, own, above, cores):
    (tmp_path / "membership").write_text("0::/above/own\n")
    group(tmp_path / "groups" / "above" / "own", cpu_max=own)
    group(tmp_path / "groups" / "above", cpu_max=above)
    assert available_cores(tmp_path / "groups", tmp_path / "membership") == cores


@pytest.mark.usefixtures("one_core_of_many")
def test_a_containers_quota_of_the_first_version_counts(tmp_path):
    (tmp_path / "membership").write_text("7:cpu,cpuacct:/own\n3:memory:/own\n")
    group(tmp_path / "groups" / "cpu" / "own", cpu_cfs_quota_us="-1", cpu_cfs_period_us="100000")
    group(tmp_path / "groups" / "cpu", cpu_cfs_quota_us="300000", cpu_cfs_period_us="100000")
    assert available_cores(tmp_path / "groups", tmp_path / "membership") == 3


@pytest.mark.usefixtures("one_core_of_many")
def test_without_groups_the_bound_cores_count(tmp_path):
    assert available_cores(tmp_path / "groups", tmp_path / "gone") == 16


def test_the_cores_of_this_machine():
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


def test_mlflow_really_logs_offline_from_several_scorers_at_once(tmp_path):
    pytest.importorskip("mlflow")
    script = "import mlflow; mlflow.log_param('a', 1); mlflow.log_metric('b', 2.0); mlflow.end_run()"
    running = [
        subprocess.Popen(
            [sys.executable, "-c", script],
            env=variables({"PATH": os.environ["PATH"]}, scratch=tmp_path / str(number)),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            text=True,
        )
        for number in range(2)
    ]
    for number, process in enumerate(running):
        said, _ = process.communicate(timeout=90)
        assert process.returncode == 0, said
        assert len(list((tmp_path / str(number) / "mlruns").glob("*/*/metrics/b"))) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0", "1"]
