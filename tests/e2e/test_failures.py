from __future__ import annotations

import time

import pytest

BAD = """
    import ctypes, os, sys, time

    def init():
        pass

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        if "00003.txt" in names:
            {misdeed}
        return names
"""

SEGFAULT = "ctypes.string_at(0)"


@pytest.mark.parametrize(
    ("misdeed", "category", "words"),
    [
        ("raise ValueError('no such digit')", "exception", "ValueError: no such digit"),
        ("sys.exit(3)", "exception", "SystemExit: 3"),
        ("raise KeyboardInterrupt", "exception", "KeyboardInterrupt"),
        ("return None", "return_type", "The actual type of output is NoneType"),
        ("return (n for n in names)", "return_type", "The actual type of output is generator"),
        ("time.sleep(60)", "timeout", "run() took longer than 1 s"),
        ("os._exit(9)", "crash", "exit code 9"),
        (SEGFAULT, "crash", "signal SIGSEGV"),
        ("os.kill(os.getpid(), 9)", "crash", "signal SIGKILL"),
    ],
)
def test_a_failing_mini_batch_costs_itself_alone(project, succeed, misdeed, category, words) -> None:
    project.files(10)
    project.script(BAD.format(misdeed=misdeed))
    project.deployment(
        mini_batch_size=2,
        max_concurrency_per_instance=2,
        retry_settings={"max_retries": 2, "timeout": 1},
    )

    ran = succeed()

    good = [n for n in range(10) if n not in (2, 3)]
    assert ran.rows.decode().splitlines() == [f"{n:05d}.txt" for n in good]
    assert [error["file"] for error in ran.errors] == ["00002.txt", "00003.txt"]
    for error in ran.errors:
        assert (error["mini_batch"], error["attempts"], error["category"]) == (1, 2, category)
        assert words in error["message"]
    assert ran.summary["items"] == {"total": 10, "succeeded": 8, "failed": 2}
    assert ran.summary["attempts"]["retried"] == {category: 1}


def test_a_timeout_leaves_the_stacks_in_the_error_and_in_the_log(project, succeed) -> None:
    project.files(10)
    project.script(BAD.format(misdeed="time.sleep(60)"))
    project.deployment(mini_batch_size=2, retry_settings={"max_retries": 1, "timeout": 1})

    ran = succeed()

    assert "in run" in ran.errors[0]["traceback"]
    logs = "".join(path.read_text() for path in (ran.job / "logs/user/stderr").rglob("*.txt"))
    assert "score.py" in logs


def test_an_exceptions_traceback_is_the_scripts_own(project, succeed) -> None:
    project.files(10)
    project.script(BAD.format(misdeed="raise ValueError('no')"))
    project.deployment(mini_batch_size=2)

    traceback = succeed().errors[0]["traceback"]

    assert "score.py" in traceback
    assert "gristmill" not in traceback.replace(str(project.folder), "")


def test_a_failure_that_passes_is_retried_and_leaves_no_error(project, succeed) -> None:
    project.files(6)
    project.script(f"""
        import os, pathlib

        MARK = pathlib.Path({str(project.folder / "mark")!r})

        def init():
            pass

        def run(mini_batch):
            if not MARK.exists():
                MARK.touch()
                raise OSError("the network was away")
            return [os.path.basename(path) for path in mini_batch]
    """)
    project.deployment(mini_batch_size=2, retry_settings={"max_retries": 3})

    ran = succeed()

    assert ran.rows.count(b"\n") == 6
    assert not (ran.output / "errors.jsonl").exists()
    assert ran.summary["attempts"]["retried"] == {"exception": 1}
    assert ran.summary["mini_batches"]["retried"] == 1


def test_fewer_results_than_items_keep_their_rows_and_count_the_rest_as_failed(project, succeed) -> None:
    project.files(10)
    project.script("""
        import os

        def init():
            pass

        def run(mini_batch):
            return [os.path.basename(path) for path in mini_batch][:-1]
    """)
    project.deployment(mini_batch_size=5, retry_settings={"max_retries": 2})

    ran = succeed()

    assert ran.rows.count(b"\n") == 8
    assert ran.summary["items"] == {"total": 10, "succeeded": 8, "failed": 2}
    assert {error["category"] for error in ran.errors} == {"missing_results"}


def test_more_results_than_items_are_fine(project, succeed) -> None:
    project.files(4)
    project.script("def init(): pass\ndef run(mini_batch): return list(range(10))\n")
    project.deployment(mini_batch_size=4)

    ran = succeed()

    assert ran.rows == b"".join(b"%d\n" % n for n in range(10))
    assert ran.summary["items"] == {"total": 4, "succeeded": 4, "failed": 0}
    assert ran.summary["rows"] == 10


def test_more_failures_than_the_threshold_end_the_job_without_an_output(project) -> None:
    project.files(200)
    project.script("def init(): pass\ndef run(mini_batch): raise ValueError('bad')\n")
    project.deployment(mini_batch_size=2, error_threshold=5)

    ran = project.run()

    assert ran.returncode == 3
    assert "error_threshold" in ran.stderr
    assert not (ran.output / "predictions.csv").exists()
    assert (ran.job / "errors.jsonl").read_text().count("\n") >= 6
    assert f"what became of each failed item, and why: {ran.job}/errors.jsonl\n" in ran.stderr


def test_as_many_failures_as_the_threshold_are_fine(project, succeed) -> None:
    project.files(10)
    project.script(BAD.format(misdeed="raise ValueError('no')"))
    project.deployment(mini_batch_size=2, error_threshold=2)

    assert succeed().summary["items"]["failed"] == 2


def test_a_job_without_one_success_fails_with_the_documented_sentence(project) -> None:
    project.files(3)
    project.script("def init(): pass\ndef run(mini_batch): return []\n")
    project.deployment()

    ran = project.run()

    assert ran.returncode == 3
    assert "There is no succeeded mini batch item returned from run()." in ran.stderr


@pytest.mark.parametrize(
    ("init", "words"),
    [
        ("raise RuntimeError('weights are missing')", "RuntimeError: weights are missing"),
        ("import os; os._exit(4)", "exit code 4"),
        ("import time; time.sleep(60)", "init() took longer than 1 s"),
    ],
)
def test_an_init_that_fails_ends_the_job_in_seconds_with_its_traceback(project, init, words) -> None:
    project.files(3)
    project.script(f"def init():\n    {init}\n\ndef run(mini_batch): return mini_batch\n")
    project.deployment(init_timeout=1)

    began = time.monotonic()
    ran = project.run()

    assert time.monotonic() - began < 15
    assert ran.returncode == 3
    assert words in ran.stderr
    if "RuntimeError" in words:
        assert "score.py" in ran.stderr


def test_a_script_that_cannot_be_imported_fails_like_its_init(project) -> None:
    project.files(3)
    project.script("import nowhere_to_be_found\ndef init(): pass\ndef run(mini_batch): return mini_batch\n")
    project.deployment()

    ran = project.run()

    assert ran.returncode == 3
    assert "No module named 'nowhere_to_be_found'" in ran.stderr


def test_an_item_that_cannot_be_read_by_the_script_is_an_error_of_its_mini_batch(project, succeed) -> None:
    project.files(4)
    (project.input / "00001.txt").unlink()
    (project.input / "00001.txt").symlink_to("nowhere")
    project.script("""
        def init():
            pass

        def run(mini_batch):
            return [open(path).read() for path in mini_batch]
    """)
    project.deployment(mini_batch_size=1)

    ran = succeed()

    assert [error["file"] for error in ran.errors] == ["00001.txt"]
    assert ran.summary["items"] == {"total": 4, "succeeded": 3, "failed": 1}
