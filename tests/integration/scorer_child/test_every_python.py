"""What must hold on each Python that a deployment may bring, with nothing but its standard library."""

from __future__ import annotations

from typing import Any

from gristmill_workers.scorer import protocol

RETURNS = """
    def init(): pass
    def run(batch):
        name = batch[0].rsplit("/", 1)[1]
        return RESULTS[name]
    class Loud:
        def __str__(self): raise ValueError("no text")
    RESULTS = {"list": ["a", 1, 2.5], "tuple": ("x", None), "none": None, "text": "abc", "dict": {"a": 1}, "set": {1},
               "number": 3, "generator": (i for i in range(3)), "empty": [], "loud": ["a", Loud()], "fewer": ["a"]}
"""


def test_a_list_becomes_a_line_an_element(launch: Any, python: str) -> None:
    child = launch(RETURNS, python=python).ready()

    result, rows = child.score("list", "b", "c", n=7, attempt=2)

    assert rows == b"a\n1\n2.5\n"
    assert result.pop("seconds") >= 0
    assert result.pop("writing") >= 0
    assert result == {
        "n": 7, "attempt": 2, "outcome": "done", "items": 3, "succeeded": 3, "rows": 3, "bytes": 8, "columns": None,
        "encoding": "text", "errors": [], "files": [],
    }  # fmt: skip
    assert child.score("tuple", "b")[1] == b"x\nNone\n"
    assert child.stop() == {"type": "stopped", "files": []}


def test_what_is_no_list_fails_with_azures_sentence(launch: Any, python: str) -> None:
    child = launch(RETURNS, python=python).ready()
    types = {"none": "NoneType", "text": "str", "dict": "dict", "set": "set", "number": "int", "generator": "generator"}

    for name, type_name in types.items():
        result, rows = child.score(name)

        assert (result["outcome"], result["succeeded"], rows) == ("failed", 0, b"")
        (error,) = result["errors"]
        assert error["category"] == "return_type"
        assert error["message"].startswith(
            "The run() method in the entry script should return a list or a pandas DataFrame. The length of returned "
            "result is considered as succeeded number of items. For --output_action=append_row, the returned result is "
            f"what to write into the result file. The actual type of output is {type_name}."
        )


def test_fewer_results_than_files_are_written_and_the_rest_is_missing(launch: Any, python: str) -> None:
    child = launch(RETURNS, python=python).ready()

    result, rows = child.score("fewer", "b", "c")

    assert rows == b"a\n"
    assert (result["outcome"], result["items"], result["succeeded"]) == ("done", 3, 1)
    assert [(error["category"], error["file"], error["final"]) for error in result["errors"]] == [
        ("missing_results", None, False)
    ]
    assert "1 result for 3 files" in result["errors"][0]["message"]
    assert child.score("empty", "b")[0]["succeeded"] == 0


def test_an_element_without_text_is_named(launch: Any, python: str) -> None:
    child = launch(RETURNS, python=python).ready()

    result, rows = child.score("loud", "b")

    assert rows == b""
    (error,) = result["errors"]
    assert (error["category"], error["final"]) == ("encoding", True)
    assert "element 1 of type Loud: ValueError: no text" in error["message"]
    assert "__str__" in error["traceback"]


RAISES = """
    import sys
    class Own(Exception):
        def __str__(self): raise RuntimeError("worse")
    def deep(): return deep()
    def leave(): sys.exit(3)
    def interrupt(): raise KeyboardInterrupt
    def memory(): raise MemoryError
    def own(): raise Own
    def value(): raise ValueError("bad \\udcff name")
    def chained():
        try: value()
        except ValueError as error: raise LookupError("outer") from error
    def close(): raise GeneratorExit
    def init(): pass
    def run(batch):
        name = batch[0].rsplit("/", 1)[1]
        if name in globals(): return globals()[name]()
        return batch
"""


def test_whatever_run_raises_fails_the_attempt_only(launch: Any, python: str) -> None:
    child = launch(RAISES, python=python).ready()
    messages = {
        "deep": "RecursionError: maximum recursion", "leave": "SystemExit: 3", "interrupt": "KeyboardInterrupt",
        "memory": "MemoryError", "own": "Own: <its str() failed: RuntimeError>", "value": "ValueError: bad \udcff name",
        "chained": "LookupError: outer", "close": "GeneratorExit", "good": None,
    }  # fmt: skip
    child.send(*[[name] for name in messages])

    for (name, message), (result, rows) in zip(messages.items(), child.answers(len(messages)), strict=True):
        if message is None:
            assert (result["outcome"], rows) == ("done", f"{child.start['root']}/good\n".encode())
            continue
        (error,) = result["errors"]
        assert result["outcome"] == "failed"
        assert (error["category"], error["final"]) == ("exception", False)
        assert error["message"].startswith(message), name
    child.stop()


def test_a_traceback_begins_with_the_users_frame(launch: Any, python: str) -> None:
    child = launch(RAISES, python=python).ready()

    traceback = child.score("chained")[0]["errors"][0]["traceback"]

    assert 'score.py", line' in traceback
    assert "in value" in traceback
    assert "gristmill" not in traceback.replace(str(child.folder), "")
    assert traceback.rstrip().endswith("LookupError: outer")


def test_ready_tells_what_runs(launch: Any, python: str, pythons: dict[str, str]) -> None:
    ready = launch("def init(): pass\ndef run(batch): return batch", python=python).expect("ready")

    assert pythons[".".join(ready["python"].split(".")[:2])] == python
    assert ready["init_seconds"] >= 0
    assert ready["versions"] == {}


def test_users_modules_of_our_names_are_the_users(launch: Any, python: str) -> None:
    names = [
        "storage", "workers", "scheduler", "protocol", "utils", "rows", "script", "child", "start", "process", "json",
        "sink", "csv", "gristmill_workers", "mmap", "outbox", "logging", "signal",
    ]  # fmt: skip
    script = f"""
        import importlib, sys
        NAMES = {names!r}
        def init(): pass
        def run(batch): return [getattr(importlib.import_module(name), "MINE", name) for name in NAMES]
    """
    files = {f"{name}.py": f"MINE = 'user {name}'" for name in names}

    child = launch(script, python=python, files=files).ready()

    assert child.score("a")[1].decode().split("\n")[:-1] == [f"user {name}" for name in names]
    assert child.score("b")[0]["outcome"] == "done"


def test_the_code_folder_and_the_scripts_own_are_on_the_path_and_ours_is_not(launch: Any, python: str) -> None:
    script = """
        import sys, top, beside
        def init(): pass
        def run(batch): return [top.NAME, beside.NAME, __name__, __file__, *sys.path]
    """
    files = {"top.py": "NAME = 'top'", "src/beside.py": "NAME = 'beside'", "src/drive-it.py": script}

    child = launch(
        "", python=python, files=files, script="src/drive-it.py", environment={"PYTHONPATH": "/nowhere/else"}
    )
    lines = child.ready().score("a")[1].decode().splitlines()

    code = child.start["code"]
    assert lines[:4] == ["top", "beside", "drive-it", f"{code}/src/drive-it.py"]
    assert lines[4:6] == [f"{code}/src", code]
    assert not [line for line in lines[4:] if line.endswith("scorer") or line == "/nowhere/else"]


def test_argparse_sees_the_arguments_a_driver_gives(launch: Any, python: str) -> None:
    script = """
        import argparse, sys
        def init():
            global args, rest
            parser = argparse.ArgumentParser()
            parser.add_argument("--logging_level")
            args, rest = parser.parse_known_args()
        def run(batch): return [sys.argv[0], args.logging_level, rest]
    """
    child = launch(script, python=python, argv=["--logging_level", "INFO", "--other", "1"]).ready()

    assert child.score("a")[1].decode() == f"{child.start['code']}/score.py\nINFO\n['--other', '1']\n"


def test_names_that_are_no_utf8_and_names_with_line_breaks_arrive(launch: Any, python: str) -> None:
    script = """
        import os
        def init(): pass
        def run(batch): return [open(path, "rb").read().decode() + os.path.basename(path) for path in batch]
    """
    child = launch(script, python=python).ready()
    names = ["caf\udce9.txt", "two\nlines.txt", "umlaut ü.txt"]
    for name in names:
        (child.folder / "input" / name).write_bytes(b"in:")

    _, rows = child.score(*names)

    assert rows == b"in:caf\xe9.txt\nin:two\nlines.txt\nin:umlaut \xc3\xbc.txt\n"
    assert child.stderr.count("holds a line break") == 1


def test_stop_runs_shutdown_and_atexit_whatever_threads_are_left(launch: Any, python: str) -> None:
    script = """
        import atexit, threading, time, logging
        def init():
            atexit.register(lambda: print("atexit ran"))
            threading.Thread(target=time.sleep, args=(600,)).start()
        def run(batch): return batch
        def shutdown():
            print("shutdown ran")
            raise ValueError("too late")
    """
    child = launch(script, python=python).ready()

    child.stop()

    assert child.stdout == "shutdown ran\natexit ran\n"
    assert "shutdown() failed" in child.stderr
    assert "too late" in child.stderr


def test_the_end_of_the_pipe_means_stop(launch: Any, python: str) -> None:
    child = launch("def init(): pass\ndef run(b): return b\ndef shutdown(): print('gone')", python=python).ready()
    import os

    os.close(child.commands)
    child.commands = os.open(os.devnull, os.O_RDONLY)

    child.expect("stopped")
    assert child.wait() == 0
    assert child.stdout == "gone\n"


KEPT = """
    import os
    from azureml_user.parallel_run import EntryScript
    logger = EntryScript().logger
    print("loaded")
    def init(): pass
    def run(batch):
        print(*batch)
        os.write(1, b"past Python\\n")
        logger.warning(batch[0])
        with open(os.environ["AZUREML_BI_OUTPUT_PATH"] + "/file", "w") as file: file.write(batch[0])
        return batch
"""


def test_a_scorer_serves_the_next_job_with_its_lines_and_files_where_they_belong(launch: Any, python: str) -> None:
    child = launch(KEPT, python=python).ready()
    for job in ("one", "two"):
        if job == "two":
            protocol.write_frame(child.commands, {"type": "rest"})
            child.expect("rested")
            (child.folder / "out" / "stray").touch()
            (child.folder / "logs").rename(child.folder / "logs-one")
            files = {name: child.folder / f"{name}-two.txt" for name in ("stdout", "stderr")}
            for file in files.values():
                file.touch()
            given = {"root": "/two", "staging_dir": str(child.folder / "staging-two"), "node": "node0-1", **files}
            protocol.write_frame(child.commands, {"type": "job", **{name: str(given[name]) for name in given}})
            assert child.expect("ready")["init_seconds"] == 0
        result, rows = child.score(job)
        assert result["files"] == ["file"]
    child.stop()

    one, two = f"{child.folder}/input/one", "/two/two"
    assert rows == f"{two}\n".encode()
    assert child.stdout == f"loaded\n{one}\npast Python\n"
    assert (child.folder / "stdout-two.txt").read_text() == f"{two}\npast Python\n"
    for logs, node, path in (("logs-one", "node0", one), ("logs", "node0-1", two)):
        (line,) = (child.folder / logs / "entry_script_log" / node / "process003.log.txt").read_text().splitlines()
        assert line.endswith(f"|{path}")
    assert (child.folder / "staging" / "0-1" / "file").read_text() == one
    assert [path.name for path in (child.folder / "staging-two" / "0-1").iterdir()] == ["file"]
