"""Mini-batches with bad files in them, halved until the bad ones stand alone."""

from __future__ import annotations

import json

import pytest

RETRIES = {"max_retries": 2, "timeout": 30}

POISON = """
    import os, signal, sys, time

    def init():
        pass

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        with open(os.path.join(os.environ["CALLS"], f"{os.getpid()}"), "a") as calls:
            calls.write(" ".join(names) + "\\n")
        for name in names:
            if "raise" in name:
                raise ValueError(f"poison in {name}")
            if "die" in name:
                os._exit(9)
            if "hang" in name:
                time.sleep(600)
        return [name for name in names if "none" not in name]
"""


GOOD = [f"{n:05d}.txt" for n in range(29)]
BAD = {"00003-raise": "exception", "00013-die": "crash", "00023-none": "missing_results"}


@pytest.fixture
def poisoned(project, tmp_path):
    """A project of 32 files, of which three are bad in a way of their own, far from each other."""
    project.files([*GOOD, *BAD])
    (tmp_path / "calls").mkdir()
    project.script(POISON)
    return project


def calls(folder) -> list[list[str]]:
    return [line.split() for path in folder.iterdir() for line in path.read_text().splitlines()]


def test_every_good_file_is_in_the_output_and_every_bad_one_named(poisoned, succeed, tmp_path) -> None:
    poisoned.files(["00024-hang"])
    poisoned.deployment(
        mini_batch_size=11,
        max_concurrency_per_instance=2,
        isolate_failures=True,
        retry_settings={"max_retries": 1, "timeout": 4},
        root=f'"environment_variables": {{"CALLS": {json.dumps(str(tmp_path / "calls"))}}}',
    )

    ran = succeed()

    assert ran.rows.decode().split() == GOOD
    assert {error["file"]: error["category"] for error in ran.errors} == {**BAD, "00024-hang": "timeout"}
    by_file = {error["file"]: error for error in ran.errors}
    assert "ValueError: poison in 00003-raise" in by_file["00003-raise"]["message"]
    assert "score.py" in by_file["00003-raise"]["traceback"]
    assert ran.summary["items"] == {**ran.summary["items"], "total": 33, "succeeded": 29, "failed": 4}
    made = calls(tmp_path / "calls")
    assert len(made) <= 3 * (2 * 11 - 1)
    assert ran.summary["attempts"]["isolation"] == len(made) - 3
    assert made.count(["00003-raise"]) == 1


def test_the_output_has_the_same_bytes_as_without_the_bad_files(poisoned, succeed, tmp_path) -> None:
    settings = {"mini_batch_size": 16, "isolate_failures": True, "retry_settings": RETRIES, "output_format": "csv"}
    root = f'"environment_variables": {{"CALLS": {json.dumps(str(tmp_path / "calls"))}}}'
    poisoned.deployment(**settings, root=root)
    with_bad = succeed()
    for bad in BAD:
        (poisoned.input / bad).unlink()

    assert succeed().rows == with_bad.rows


def test_without_the_setting_a_bad_file_takes_its_mini_batch_with_it(poisoned, succeed, tmp_path) -> None:
    root = f'"environment_variables": {{"CALLS": {json.dumps(str(tmp_path / "calls"))}}}'
    poisoned.deployment(mini_batch_size=8, retry_settings=RETRIES, root=root)

    ran = succeed()

    assert ran.summary["items"]["failed"] > 3
    assert all(len(call) == 8 for call in calls(tmp_path / "calls"))


def test_the_threshold_is_judged_by_what_is_bad_and_not_by_its_mini_batch(poisoned, succeed, tmp_path) -> None:
    root = f'"environment_variables": {{"CALLS": {json.dumps(str(tmp_path / "calls"))}}}'
    poisoned.deployment(mini_batch_size=32, isolate_failures=True, error_threshold=3, retry_settings=RETRIES, root=root)

    assert succeed().summary["items"]["failed"] == 3


WRITING = """
    import os

    def init():
        pass

    def run(mini_batch):
        folder = os.environ["AZUREML_BI_OUTPUT_PATH"]
        names = [os.path.basename(path) for path in mini_batch]
        for name in names:
            open(os.path.join(folder, name + ".out"), "w").write(name)
            open(os.path.join(folder, "all.jsonl"), "a").write(f'"{name}"\\n')
        if "bad" in names:
            raise ValueError("bad")
        return names
"""


def test_files_that_good_pieces_wrote_are_all_published_in_order(project, succeed) -> None:
    good = [f"{n:05d}.txt" for n in range(12)]
    project.files([*good, "bad"])
    project.script(WRITING)
    project.deployment(mini_batch_size=13, isolate_failures=True, output_action="summary_only")

    ran = succeed()

    assert sorted(path.name for path in ran.output.glob("*.out")) == [f"{name}.out" for name in good]
    assert [json.loads(line) for line in (ran.output / "all.jsonl").read_text().splitlines()] == good
    assert [error["file"] for error in ran.errors] == ["bad"]


COLUMNS = """
    import os

    def init():
        pass

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        if "00005.txt" in names:
            raise ValueError("bad")
        return [{"file": name, **({"early": 1} if name < "00004.txt" else {"late": 2.5})} for name in names]
"""


@pytest.mark.parametrize("output_format", ["csv", "jsonl", "parquet"])
def test_pieces_with_columns_of_their_own_are_put_under_one_head(project, succeed, output_format) -> None:
    pd = pytest.importorskip("pandas")
    project.files(8)
    project.script(COLUMNS)
    settings = {"output_format": output_format, "output_file_name": "out", "isolate_failures": True}
    project.deployment(mini_batch_size=8, **settings)
    read = {"csv": pd.read_csv, "jsonl": lambda path: pd.read_json(path, lines=True), "parquet": pd.read_parquet}

    frame = read[output_format](succeed().output / "out")

    assert list(frame["file"]) == [f"{n:05d}.txt" for n in range(8) if n != 5]
    assert list(frame["early"].notna()) == [True] * 4 + [False] * 3
    assert list(frame["late"].fillna(0)) == [0, 0, 0, 0, 2.5, 2.5, 2.5]
