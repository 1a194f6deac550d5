"""Every key of `settings:` that changes what a job does, seen in what it did."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from gristmill_workers.scorer_environment import available_cores

FRAME = """
    import os
    import pandas as pd

    def init():
        pass

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        return pd.DataFrame({"file": names, "n": range(len(names)), "say": ['a "b" c'] * len(names)})
"""

SIZES = """
    def init():
        pass

    def run(mini_batch):
        return [len(mini_batch)] * len(mini_batch)
"""


def test_mini_batch_size(project, succeed) -> None:
    project.files(5)
    project.script(SIZES)
    project.deployment(mini_batch_size=2)

    assert succeed().rows == b"2\n2\n2\n2\n1\n"


def test_mini_batch_bytes_keeps_one_giant_alone(project, succeed) -> None:
    project.files(["a", "b", "d", "e"], content="12")
    project.files(["c"], content="1" * 100)
    project.script(SIZES)
    project.deployment(mini_batch_size=10, mini_batch_bytes=50)

    assert succeed().rows == b"2\n2\n1\n2\n2\n"


def test_recursive(project, succeed) -> None:
    project.files(["a.txt", "deep/b.txt"])
    project.script()
    project.deployment()
    assert succeed().rows == b"a.txt\nb.txt\n"

    project.deployment(recursive=False)
    assert succeed().rows == b"a.txt\n"


def test_the_default_text_of_a_frame_is_azures(project, succeed) -> None:
    project.files(2)
    project.script(FRAME)
    project.deployment()

    assert succeed().rows == b'00000.txt 0 "a ""b"" c"\n00001.txt 1 "a ""b"" c"\n'


def test_header_and_delimiter_of_text(project, succeed) -> None:
    project.files(3)
    project.script(FRAME)
    project.deployment(header=True, delimiter="|", mini_batch_size=1)

    assert succeed().rows.decode().splitlines()[:2] == ["file|n|say", '00000.txt|0|"a ""b"" c"']


def test_output_format_csv(project, succeed) -> None:
    project.files(12)
    project.script(FRAME)
    project.deployment(output_format="csv", mini_batch_size=5)

    frame = pd.read_csv(succeed().output / "predictions.csv")

    assert list(frame.columns) == ["file", "n", "say"]
    assert list(frame["file"]) == [f"{n:05d}.txt" for n in range(12)]


def test_output_format_jsonl(project, succeed) -> None:
    project.files(3)
    project.script("""
        def init(): pass
        def run(mini_batch): return [{"n": n, "deep": {"x": [1, None]}} for n, _ in enumerate(mini_batch)]
    """)
    project.deployment(output_format="jsonl")

    lines = (succeed().output / "predictions.jsonl").read_text().splitlines()

    assert json.loads(lines[1]) == {"n": 1, "deep": {"x": [1, None]}}


def test_output_format_parquet(project, succeed) -> None:
    project.files(25)
    project.script(FRAME)
    project.deployment(output_format="parquet", mini_batch_size=4, max_concurrency_per_instance=2)

    frame = pd.read_parquet(succeed().output / "predictions.parquet")

    assert list(frame["file"]) == [f"{n:05d}.txt" for n in range(25)]
    assert frame["n"].dtype == "int64"


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_lists_of_scalars_have_a_column_too(project, succeed, kind) -> None:
    project.files(3)
    project.script("def init(): pass\ndef run(mini_batch): return [0.5 for _ in mini_batch]\n")
    project.deployment(output_format=kind)
    output = succeed().output / f"predictions.{kind}"

    read = {"csv": pd.read_csv, "jsonl": lambda path: pd.read_json(path, lines=True), "parquet": pd.read_parquet}

    assert list(read[kind](output)["prediction"]) == [0.5, 0.5, 0.5]


def test_output_file_name(project, succeed) -> None:
    project.files(1)
    project.script()
    project.deployment(output_file_name="scores.txt")

    assert (succeed().output / "scores.txt").read_bytes() == b"00000.txt\n"


def test_the_output_file_can_be_named_by_the_output_itself(project, succeed) -> None:
    project.files(1)
    project.script()
    project.deployment()

    succeed(output=project.folder / "here" / "mine.csv")

    assert (project.folder / "here" / "mine.csv").read_bytes() == b"00000.txt\n"


def test_summary_only_counts_and_keeps_what_the_script_wrote(project, succeed) -> None:
    project.files(6)
    project.script("""
        import os

        def init():
            global OUT
            OUT = os.environ["AZUREML_BI_OUTPUT_PATH"]

        def run(mini_batch):
            for path in mini_batch:
                name = os.path.basename(path)
                with open(os.path.join(OUT, name + ".bin"), "w") as own:
                    own.write(name)
                with open(os.path.join(OUT, "all.jsonl"), "a") as shared:
                    shared.write(name + chr(10))
            return mini_batch
    """)
    project.deployment(output_action="summary_only", mini_batch_size=2, max_concurrency_per_instance=2)

    ran = succeed()

    names = [f"{n:05d}.txt" for n in range(6)]
    assert (ran.output / "all.jsonl").read_text().splitlines() == names
    assert [(ran.output / f"{name}.bin").read_text() for name in names] == names
    assert not (ran.output / "predictions.csv").exists()
    assert ran.summary["rows"] == 6


def test_files_of_a_failed_attempt_are_left_behind(project, succeed) -> None:
    project.files(2)
    project.script(f"""
        import os, pathlib

        MARK = pathlib.Path({str(project.folder / "mark")!r})

        def init(): pass

        def run(mini_batch):
            first = not MARK.exists()
            MARK.touch()
            with open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], "w.txt"), "w") as file:
                file.write("first" if first else "second")
            if first:
                raise ValueError("not yet")
            return mini_batch
    """)
    project.deployment(output_action="summary_only", retry_settings={"max_retries": 2})

    assert (succeed().output / "w.txt").read_text() == "second"


def test_a_name_that_two_mini_batches_wrote_fails_the_job_by_name(project) -> None:
    project.files(2)
    project.script("""
        import os

        def init(): pass

        def run(mini_batch):
            open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], "w.parquet"), "w").close()
            return mini_batch
    """)
    project.deployment(output_action="summary_only", mini_batch_size=1)

    ran = project.run()

    assert ran.returncode == 3
    assert "w.parquet" in ran.stderr


def test_environment_variables_and_azures_own_reach_the_script(project, succeed) -> None:
    project.files(1)
    project.script("""
        import os

        def init(): pass

        def run(mini_batch):
            folder = os.environ["AZUREML_MODEL_DIR"]
            return [" ".join([os.environ["A"], os.environ["B"], open(os.path.join(folder, "model", "weights")).read()])]
    """)
    project.deployment(environment_variables={"B": "2"}, root='"environment_variables": {"A": "1", "B": "1"}')

    assert succeed().rows == b"1 2 7\n"


def test_threads_are_shared_between_the_scorers_of_a_machine(project, succeed, monkeypatch) -> None:
    project.files(1)
    project.script("""
        import os

        def init(): pass

        def run(mini_batch): return [os.environ["OMP_NUM_THREADS"] for _ in mini_batch]
    """)
    project.deployment(max_concurrency_per_instance=2)
    cores = str(max(1, available_cores() // 2))

    assert succeed(env={"OMP_NUM_THREADS": "3"}).rows == b"3\n"
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert succeed().rows.decode().strip() == cores


def test_each_scorer_of_an_instance_sees_a_gpu_of_its_own(project, succeed) -> None:
    """The machine need have none: what it is limited to is shared out, and two scorers wait for each other."""
    project.files(2)
    project.script(f"""
        import os, pathlib, time

        MEET = pathlib.Path({str(project.folder)!r})

        def init(): pass

        def run(mini_batch):
            mine = os.environ["CUDA_VISIBLE_DEVICES"]
            (MEET / f"gpu-{{mine}}").touch()
            deadline = time.monotonic() + 20
            while len(list(MEET.glob("gpu-*"))) < 2 and time.monotonic() < deadline:
                time.sleep(0.01)
            return [mine for _ in mini_batch]
    """)
    project.deployment(mini_batch_size=1, max_concurrency_per_instance=2)

    assert sorted(succeed(env={"CUDA_VISIBLE_DEVICES": "3,5"}).rows.split()) == [b"3", b"5"]


def test_logging_level_reaches_the_root_logger_and_the_log(project, succeed) -> None:
    project.files(1)
    project.script("""
        import logging, sys

        def init(): print("hello from init")

        def run(mini_batch):
            logging.info("told at info")
            logging.debug("told at debug")
            return [" ".join(sys.argv[1:])]
    """)
    project.deployment(logging_level="debug")
    ran = succeed()
    logs = "".join(path.read_text() for path in (ran.job / "logs/user").rglob("*.txt"))
    assert ran.rows == b"--logging_level DEBUG\n"
    assert "told at info" in logs
    assert "told at debug" in logs
    assert "hello from init" in (ran.job / "logs/user").joinpath("stdout").rglob("*.txt").__next__().read_text()

    project.deployment(logging_level="warning")
    ran = succeed()
    assert "told at info" not in "".join(path.read_text() for path in (ran.job / "logs/user").rglob("*.txt"))


def test_azures_entry_script_helper_writes_to_its_log(project, succeed) -> None:
    project.files(1)
    project.script("""
        from azureml_user.parallel_run import EntryScript

        def init():
            EntryScript().logger.info("through the helper")

        def run(mini_batch): return mini_batch

        def shutdown(): print("goodbye")
    """)
    project.deployment()

    ran = succeed()

    helper = "".join(path.read_text() for path in (ran.job / "logs/user/entry_script_log").rglob("*.txt"))
    assert "through the helper" in helper
    assert "goodbye" in "".join(path.read_text() for path in (ran.job / "logs/user/stdout").rglob("*.txt"))


def test_mlflow_logging_inside_a_script_does_not_fail(project, succeed) -> None:
    project.files(1)
    project.script("""
        import mlflow

        def init():
            mlflow.log_param("a", 1)

        def run(mini_batch):
            mlflow.log_metric("m", 0.5)
            return ["fine"]
    """)
    project.deployment()

    assert succeed().rows == b"fine\n"
    assert not (project.folder / "mlruns").exists()


def test_set_changes_a_key(project, succeed) -> None:
    project.files(4)
    project.script(SIZES)
    project.deployment(mini_batch_size=1)

    assert succeed("--set", "settings.mini_batch_size=4").rows == b"4\n4\n4\n4\n"


def test_a_directory_can_be_changed_and_stdout_closed_by_the_script(project, succeed) -> None:
    project.files(6)
    project.script("""
        import os, sys

        def init(): pass

        def run(mini_batch):
            os.chdir("/")
            sys.stdout.close()
            os.close(1)
            return [os.path.exists(path) for path in mini_batch]
    """)
    project.deployment(mini_batch_size=2)

    assert succeed().rows == b"True\n" * 6


def test_a_model_can_stand_in_for_a_registry_reference(project, succeed) -> None:
    project.files(1)
    project.script("""
        import os

        def init(): pass

        def run(mini_batch): return [open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "mine", "weights")).read()]
    """)
    path = project.deployment()
    path.write_text(path.read_text().replace('{"path": "model"}', '"azureml:digits:3"'))
    (project.folder / "mine").mkdir()
    (project.folder / "mine" / "weights").write_text("9")

    refused = project.run()
    assert refused.returncode == 2
    assert "azureml:digits:3" in refused.stderr
    assert "--model PATH" in refused.stderr

    assert succeed("--model", "mine").rows == b"9\n"
