"""What user code does to the process around it, and what must go on working."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from gristmill_workers.scorer import protocol
from gristmill_workers.scorer.sink import SPOOL_ABOVE

ODD = """
    import locale, os, shutil, signal, sys, threading, time, subprocess
    def init(): pass
    def say(text): print(text); return [text]
    def chdir(): os.chdir("/"); return [1]
    def rmtree(): shutil.rmtree(os.getcwd()); return [1]
    def cwd(): return [os.getcwd()]
    def close_out(): sys.stdout.close(); return [1]
    def close_fds(): os.close(0); os.close(1); os.close(2); return [1]
    def close_all(): os.closerange(3, 90); return [1]
    def no_streams(): sys.stdout = sys.stderr = None; return [1]
    def handlers():
        for number in (signal.SIGUSR1, signal.SIGINT, signal.SIGTERM): signal.signal(number, lambda *_: None)
        return [1]
    def locales(): locale.setlocale(locale.LC_ALL, "C"); return [1]
    def threads():
        for _ in range(3): threading.Thread(target=time.sleep, args=(600,)).start()
        return [1]
    def to_fd(): os.write(1, b"straight to 1\\n"); return [1]
    def flood():
        for i in range(20000): print("line", i)
        return [1]
    def partial(): print("no line end", end=""); return [1]
    def fork():
        if os.fork() == 0: return ["from the child"]
        os.wait()
        return ["from the parent"]
    def subprocess_fds(): return [subprocess.check_output(["ls", "-l", "/proc/self/fd"]).decode().count("pipe:")]
    def odd_print(): print("caf\\udce9"); return [1]
    def recursion(): sys.setrecursionlimit(100); return [1]
    def run(batch):
        return globals()[batch[0].rsplit("/", 1)[1]]() if len(batch) == 1 else say("said " + str(len(batch)))
"""


@pytest.mark.parametrize(
    "deed",
    [
        "chdir",
        "rmtree",
        "close_out",
        "close_fds",
        "close_all",
        "no_streams",
        "handlers",
        "locales",
        "threads",
        "recursion",
    ],
)
def test_the_next_mini_batch_works_after(launch: Any, edge_python: str, deed: str) -> None:
    child = launch(ODD, python=edge_python).ready()
    child.send([deed], ["cwd"], ["a", "b"])

    results = child.answers(3)

    assert [result["outcome"] for result, _ in results] == ["done"] * 3, results
    assert results[1][1].decode() == child.start["working_dir"] + "\n"
    assert results[2][1] == b"said 2\n"
    assert child.stdout == "said 2\n"
    child.stop()


def test_what_is_printed_reaches_the_log_and_not_the_protocol(launch: Any, edge_python: str) -> None:
    child = launch(ODD, python=edge_python).ready()
    child.send(["to_fd"], ["flood"], ["odd_print"], ["partial"])

    assert [result["outcome"] for result, _ in child.answers(4)] == ["done"] * 4
    lines = child.stdout.split("\n")
    assert (lines[0], lines[1], lines[20000]) == ("straight to 1", "line 0", "line 19999")
    assert lines[20001:] == ["caf\\udce9", "no line end"]


def test_a_forked_process_that_comes_back_from_run_answers_nothing(launch: Any, edge_python: str) -> None:
    child = launch(ODD, python=edge_python).ready()

    assert child.score("fork")[1] == b"from the parent\n"
    child.stop()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_the_users_children_inherit_none_of_our_pipes(launch: Any, edge_python: str) -> None:
    script = """
        import os, subprocess
        def init(): pass
        def run(batch): return [subprocess.check_output(["ls", "/proc/self/fd"]).decode().split()]
    """
    child = launch(script, python=edge_python).ready()

    descriptors = eval(child.score("a")[1])

    assert descriptors == ["0", "1", "2", "3"]  # 3: ls's own look at the folder


@pytest.mark.parametrize(
    ("deed", "where"),
    [
        ("time.sleep(600)", "in hold"),
        ("re.match(r'(a+)+b', 'a' * 60)", "in hold"),
        ("[x for x in iter(int, 1)]", "in hold"),
    ],
)
def test_usr1_writes_the_stacks_whatever_the_script_is_in(launch: Any, edge_python: str, deed: str, where: str) -> None:
    script = f"import re, signal, time\ndef init(): pass\ndef hold(): {deed}\ndef run(batch): hold()"
    child = launch(script, python=edge_python).ready()
    child.send(["a"], first=5)
    child.until(lambda: child.progress.read()[0] == 5)
    child.until(lambda: child.progress.read()[1] > 0.1)

    os.kill(child.process.pid, signal.SIGUSR1)
    child.until(lambda: "in run" in child.stderr)

    assert where in child.stderr
    assert child.progress.read()[0] == child.progress.culprit() == 5
    assert child.process.poll() is None


def test_usr1_still_writes_the_stacks_after_the_script_has_taken_it(launch: Any, edge_python: str) -> None:
    child = launch(ODD + "\n    def hold(): time.sleep(600)\n", python=edge_python).ready()
    child.score("handlers")
    child.send(["hold"], first=1)
    child.until(lambda: child.progress.read()[0] == 1)

    os.kill(child.process.pid, signal.SIGUSR1)

    child.until(lambda: "in hold" in child.stderr)


def test_ctrl_c_is_the_nodes_to_judge_and_term_ends(launch: Any, edge_python: str) -> None:
    child = launch(ODD, python=edge_python).ready()
    os.kill(child.process.pid, signal.SIGINT)
    assert child.score("cwd")[0]["outcome"] == "done"

    os.kill(child.process.pid, signal.SIGTERM)

    assert child.wait() == -signal.SIGTERM


def test_a_crash_in_run_leaves_its_mini_batch_in_the_progress_memory(launch: Any, edge_python: str) -> None:
    script = """
        import os
        def init(): pass
        def run(batch):
            if batch[0].endswith("bad"): os._exit(9)
            return batch
    """
    child = launch(script, python=edge_python).ready()
    child.send(["good"], ["bad"], ["good"], first=10)

    assert child.wait() == 9
    assert child.progress.culprit() == 11


def test_a_crash_while_a_result_is_written_is_that_mini_batchs(launch: Any, edge_python: str) -> None:
    script = """
        import os
        class Bad:
            def __str__(self): os._exit(9)
        def init(): pass
        def run(batch): return [Bad()]
    """
    child = launch(script, python=edge_python).ready()
    child.send(["a"], first=10)

    assert child.wait() == 9
    assert child.progress.read()[0] is None
    assert child.progress.culprit() == 10


def test_between_two_frames_nobody_is_to_blame(launch: Any) -> None:
    child = launch(ODD).ready()
    child.score("cwd", n=4)
    child.until(lambda: child.progress.culprit() is None)

    assert child.progress.read()[0] is None


def test_a_result_waits_no_longer_than_a_moment_for_the_next(launch: Any, edge_python: str) -> None:
    script = """
        import time
        def init(): pass
        def run(batch):
            if batch[0].endswith("slow"): time.sleep(0.1)
            if batch[0].endswith("never"): time.sleep(600)
            return batch
    """
    child = launch(script, python=edge_python).ready()
    child.send(["quick"], ["slow"], ["never"])

    assert [result["n"] for result, _ in child.answers(2)] == [0, 1]


def test_a_large_result_is_a_file(launch: Any, edge_python: str) -> None:
    script = "def init(): pass\ndef run(batch): return ['x' * 999] * (17_000 if len(batch) == 1 else 3)"
    child = launch(script, python=edge_python).ready()
    child.send(["a"], ["a", "b", "c"])

    (large, no_rows), (small, rows) = child.answers(2)

    spool = Path(large["spool"])
    assert no_rows == b""
    assert large["bytes"] == spool.stat().st_size == 17_000_000 > SPOOL_ABOVE
    assert spool.parent == Path(child.start["working_dir"])
    assert "spool" not in small
    assert rows == (b"x" * 999 + b"\n") * 3


@pytest.mark.skipif(not Path("/proc/self/oom_score_adj").exists(), reason="only Linux has it")
def test_a_child_offers_itself_to_the_system_that_runs_out_of_memory(launch: Any, edge_python: str) -> None:
    child = launch(ODD, python=edge_python).ready()

    score = int(Path(f"/proc/{child.process.pid}/oom_score_adj").read_text())
    assert score >= max(800, int(Path("/proc/self/oom_score_adj").read_text()))


def test_an_attempts_label_names_its_files(launch: Any, edge_python: str) -> None:
    script = """
        import os
        def init(): pass
        def run(batch):
            open(os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], "f"), "w").close()
            return ["x" * 999] * 17_000
    """
    child = launch(script, python=edge_python).ready()
    batches = [{"n": 5, "attempt": 2, "items": ["a"], "label": label} for label in ("5-2-c1", "5-2-p0-1")]
    protocol.write_frame(child.commands, {"type": "run", "batches": batches})

    results = [result for result, _ in child.answers(2)]

    staging = Path(child.start["staging_dir"])
    assert [(staging / label / "f").exists() for label in ("5-2-c1", "5-2-p0-1", "5-2")] == [True, True, False]
    assert len({result["spool"] for result in results}) == 2


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_scripts_own_multiprocessing_works(launch: Any, edge_python: str, method: str) -> None:
    script = f"""
        import multiprocessing, pickle, helper
        class Point:
            def __init__(self, x): self.x = x
        def double(point): return Point(helper.double(point.x))
        def init():
            global pool
            pool = multiprocessing.get_context("{method}").Pool(2)
        def run(batch): return [point.x for point in pool.map(double, map(Point, range(5)))]
    """
    child = launch(script, python=edge_python, files={"helper.py": "def double(x): return 2 * x"}).ready()

    assert child.score("a")[1] == b"0\n2\n4\n6\n8\n"
    child.stop()


def test_a_child_whose_node_is_gone_leaves(launch: Any, tmp_path: Path) -> None:
    child = launch(ODD).ready()
    os.close(child.results)
    child.results = os.open(os.devnull, os.O_RDONLY)
    child.send(["cwd"])

    assert child.wait() == 1
