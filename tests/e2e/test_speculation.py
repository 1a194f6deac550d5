"""A second attempt beside one that takes for ever, once nothing else is left."""

from __future__ import annotations

import json
import time

SLOW_ONCE = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        folder = os.environ["AZUREML_BI_OUTPUT_PATH"]
        for name in names:
            open(os.path.join(folder, name + ".out"), "w").write(name)
        if "00007.txt" in names:
            marker = os.path.join(os.environ["MARKS"], "first")
            try:
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                pass
            else:
                time.sleep(600)
        time.sleep(0.02)
        return names
"""


def speculating(project, tmp_path, **settings) -> None:
    project.files(40)
    project.script(SLOW_ONCE)
    project.deployment(
        mini_batch_size=2,
        max_concurrency_per_instance=2,
        retry_settings={"max_retries": 1, "timeout": 300},
        root=f'"environment_variables": {{"MARKS": {json.dumps(str(tmp_path))}}}',
        **settings,
    )


def test_a_free_scorer_overtakes_one_that_hangs(project, succeed, tmp_path) -> None:
    speculating(project, tmp_path, speculate=True)
    began = time.monotonic()

    ran = succeed()

    assert time.monotonic() - began < 60
    assert ran.rows.decode().split() == [f"{n:05d}.txt" for n in range(40)]
    assert (ran.summary["items"]["total"], ran.summary["items"]["failed"]) == (40, 0)
    assert (ran.summary["attempts"]["retried"], ran.summary["attempts"]["lost"]) == ({}, 0)
    assert sorted(path.name for path in ran.output.glob("*.out")) == [f"{n:05d}.txt.out" for n in range(40)]


def test_the_output_has_the_bytes_that_it_has_without(project, succeed, tmp_path) -> None:
    speculating(project, tmp_path, speculate=True)
    overtaken = succeed()
    speculating(project, tmp_path)

    assert succeed().rows == overtaken.rows


FAILS = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        if "00007.txt" in names:
            marker = os.path.join(os.environ["MARKS"], "first")
            try:
                os.close(os.open(marker, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                raise ValueError("only the first one works")
            time.sleep(3)
        return names
"""


def test_a_second_attempt_that_fails_leaves_the_first_one_to_decide(project, succeed, tmp_path) -> None:
    speculating(project, tmp_path, speculate=True)
    project.script(FAILS)

    ran = succeed()

    assert ran.rows.decode().split() == [f"{n:05d}.txt" for n in range(40)]
    assert not (ran.output / "errors.jsonl").exists()
    assert ran.summary["attempts"]["retried"] == {"exception": 1}
