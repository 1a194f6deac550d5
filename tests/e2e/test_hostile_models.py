"""Everything that a model may do to its process, in one job: each deed costs its own mini-batch and no other."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

DEEDS = """
    import ctypes, multiprocessing, os, re, resource, signal, subprocess, sys, threading, time

    CGROUP = os.environ.get("TEST_CGROUP", "")

    def init():
        pass

    # What ends badly.
    def sleeps(): time.sleep(60)
    def hangs_in_c_with_the_interpreter():
        while True: ctypes.PyDLL(None).sleep(60)
    def sums_for_ever(): sum(range(10**15))
    def hangs_in_a_regular_expression(): re.match("(a+)+$", "a" * 60 + "b")
    def spins():
        while True: pass
    def swallows_every_exception():
        while True:
            try: time.sleep(60)
            except BaseException: pass
    def ignores_signals():
        for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}: signal.signal(number, signal.SIG_IGN)
        time.sleep(60)
    def stops_itself(): os.kill(os.getpid(), signal.SIGSTOP)
    def segfaults(): ctypes.string_at(0)
    def aborts(): os.abort()
    def leaves(): os._exit(0)
    def leaks():
        with open(CGROUP + "/cgroup.procs", "w") as procs: procs.write(str(os.getpid()))
        hoard = []
        while True: hoard.append(bytearray(8 << 20))
    def asks_for_too_much():
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, resource.RLIM_INFINITY))
        bytearray(64 << 30)
    def out_of_memory(): raise MemoryError
    def exits(): sys.exit("enough")
    def interrupts(): raise KeyboardInterrupt
    def base():
        class Own(BaseException): pass
        raise Own("not an Exception")
    def stops_iterating(): raise StopIteration
    def recurses(): recurses()
    def returns_nothing(): return None
    def closes_everything(): os.closerange(0, 9999); return ["lost"]
    def too_odd():
        class Odd:
            def __str__(self): raise ValueError("no text")
        return [Odd()]

    # What ends well, for itself and for whoever comes after.
    def forks():
        if os.fork() == 0: time.sleep(600)
        return ["ok"]
    def starts_processes():
        subprocess.Popen(["sleep", "600"], start_new_session=True)
        multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,)).start()
        return ["ok"]
    def closes_stdout(): sys.stdout.close(); os.close(1); return ["ok"]
    def closes_what_it_knows(): os.closerange(0, 90); return ["ok"]
    def prints_100_mb():
        line = "x" * 1023
        for _ in range(100 * 1024): print(line)
        return ["ok"]
    def moves_away(): os.chdir("/"); return ["ok"]
    def deletes_its_folder():
        import shutil
        shutil.rmtree(os.getcwd())
        return ["ok"]
    def leaves_threads():
        for _ in range(20): threading.Thread(target=time.sleep, args=(600,)).start()
        return ["ok"]
    def sets_an_alarm(): signal.setitimer(signal.ITIMER_REAL, 600); return ["ok"]
    def is_no_ones_child():
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0: time.sleep(600)
            os._exit(0)
        return ["ok"]
    def plain(): return ["ok"]

    def run(mini_batch):
        (path,) = mini_batch
        deed = os.path.basename(path).split(".")[1]
        if deed == "deletes_its_input":
            os.unlink(path)
            return [deed]
        result = globals()[deed]()
        return [deed + " ok"] if result == ["ok"] else result
"""

#: Deed, category of its error, and words of it; the seconds are `retry_settings.timeout`.
BAD = [
    ("sleeps", "timeout", "run() took longer than 4 s"),
    ("hangs_in_c_with_the_interpreter", "timeout", "run() took longer than 4 s"),
    ("sums_for_ever", "timeout", "run() took longer than 4 s"),
    ("hangs_in_a_regular_expression", "timeout", "run() took longer than 4 s"),
    ("spins", "timeout", "run() took longer than 4 s"),
    ("swallows_every_exception", "timeout", "run() took longer than 4 s"),
    ("ignores_signals", "timeout", "run() took longer than 4 s"),
    ("stops_itself", "timeout", "run() took longer than 4 s"),
    ("segfaults", "crash", "SIGSEGV"),
    ("aborts", "crash", "SIGABRT"),
    ("leaves", "crash", "exit code 0"),
    ("asks_for_too_much", "exception", "MemoryError"),
    ("out_of_memory", "exception", "MemoryError"),
    ("exits", "exception", "SystemExit: enough"),
    ("interrupts", "exception", "KeyboardInterrupt"),
    ("base", "exception", "not an Exception"),
    ("stops_iterating", "exception", "StopIteration"),
    ("recurses", "exception", "RecursionError"),
    ("returns_nothing", "return_type", "NoneType"),
    ("closes_everything", "crash", "the scorer's process died: exit code 1"),
    ("too_odd", "encoding", "no text"),
]

GOOD = [
    "forks",
    "starts_processes",
    "closes_stdout",
    "closes_what_it_knows",
    "prints_100_mb",
    "moves_away",
    "deletes_its_folder",
    "leaves_threads",
    "sets_an_alarm",
    "is_no_ones_child",
]


def named(deeds: list[str]) -> list[str]:
    """Give every deed a file, and a harmless one behind it."""
    return [f"{n:03d}.{name}.txt" for n, name in enumerate(word for deed in deeds for word in (deed, "plain"))]


def test_every_misdeed_ends_as_its_own_mini_batchs_outcome(project, succeed) -> None:
    names = named([deed for deed, _, _ in BAD] + GOOD)
    project.files(names)
    project.script(DEEDS)
    project.deployment(
        mini_batch_size=1, max_concurrency_per_instance=2, retry_settings={"max_retries": 1, "timeout": 4}
    )
    bad = {deed: (category, words) for deed, category, words in BAD}

    ran = succeed()

    rows = ran.rows.decode().splitlines()
    assert rows == [f"{deed} ok" for name in names if (deed := name.split(".")[1]) not in bad]
    assert [error["file"].split(".")[1] for error in ran.errors] == list(bad)
    for error in ran.errors:
        category, words = bad[error["file"].split(".")[1]]
        assert (error["category"], error["attempts"]) == (category, 1), error
        assert words in error["message"], error
    printed = sum(log.stat().st_size for log in (ran.job / "logs/user/stdout").rglob("*.txt"))
    assert printed >= 100 * 1024 * 1024


def test_an_input_that_its_own_run_deletes_is_scored(project, succeed) -> None:
    project.files(["0.deletes_its_input.txt", "1.plain.txt"])
    project.script(DEEDS)
    project.deployment(mini_batch_size=1)

    assert succeed().rows.decode().splitlines() == ["deletes_its_input", "plain ok"]


@pytest.fixture
def cgroup(tmp_path: Path) -> Iterator[Path]:
    """A memory cgroup of 150 MB that processes can be put into."""
    for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(root) / f"gristmill-test-{os.getpid()}"
        try:
            group.mkdir()
            (group / limit).write_text(str(150 << 20))
        except OSError:
            continue
        yield group
        group.rmdir()
        return
    pytest.skip("memory cgroups cannot be made here")


def test_a_leak_until_the_oom_killer_comes_costs_its_own_mini_batch(project, succeed, cgroup) -> None:
    project.files(["0.plain.txt", "1.leaks.txt", "2.plain.txt", "3.plain.txt"])
    project.script(DEEDS)
    project.deployment(mini_batch_size=1, root=f'"environment_variables": {{"TEST_CGROUP": "{cgroup}"}}')

    ran = succeed()

    assert ran.rows.decode().splitlines() == ["plain ok"] * 3
    (error,) = ran.errors
    assert (error["file"], error["category"]) == ("1.leaks.txt", "crash")
    assert "signal SIGKILL (the system kills so when memory runs out)" in error["message"]


HUGE = """
    import os
    import numpy as np
    import pandas as pd

    BYTES = {bytes}

    def init():
        pass

    def run(mini_batch):
        name = os.path.basename(mini_batch[0])
        if name == "1.txt":
            return pd.DataFrame({{"row": np.full(BYTES // 64, "x" * 63, dtype=object)}})
        return pd.DataFrame({{"row": [name]}})
"""


def test_a_huge_frame_passes_through_the_disk(project, succeed) -> None:
    size = int(os.environ.get("GRISTMILL_TEST_HUGE_BYTES", str(128 << 20)))
    project.files(["0.txt", "1.txt", "2.txt"])
    project.script(HUGE.format(bytes=size))
    project.deployment(mini_batch_size=1, retry_settings={"max_retries": 1, "timeout": 300})

    ran = succeed(timeout=900)

    with (ran.output / "predictions.csv").open("rb") as rows:
        assert rows.readline() == b"0.txt\n"
        assert rows.readline() == b"x" * 63 + b"\n"
        rows.seek(-6, os.SEEK_END)
        assert rows.read() == b"2.txt\n"
    assert ran.summary["output_bytes"] == 12 + size // 64 * 64
