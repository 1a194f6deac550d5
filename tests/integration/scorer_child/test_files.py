"""Files that the script writes under AZUREML_BI_OUTPUT_PATH."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

WRITES = """
    import os, pathlib
    OUT = pathlib.Path(os.environ["AZUREML_BI_OUTPUT_PATH"])
    def init(): (OUT / "deep").mkdir()
    def run(batch):
        for path in batch:
            name = os.path.basename(path)
            if name == "nothing": continue
            (OUT / (name + ".txt")).write_text("of " + name)
            (OUT / "deep" / name).write_text("deep")
            if name == "bad": raise ValueError("after writing")
            if name == "link": (OUT / "link").symlink_to("/etc/passwd")
        return batch
"""


def files_below(folder: str) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in Path(folder).rglob("*") if path.is_file()}


def test_files_are_moved_to_their_attempt(launch: Any, edge_python: str) -> None:
    child = launch(WRITES, python=edge_python).ready()
    child.send(["a", "b"], ["nothing"], ["c"], first=5, attempt=2)

    files = [result["files"] for result, _ in child.answers(3)]

    assert files == [["a.txt", "b.txt", "deep/a", "deep/b"], [], ["c.txt", "deep/c"]]
    assert files_below(child.start["staging_dir"]) == {
        "5-2/a.txt": "of a", "5-2/b.txt": "of b", "5-2/deep/a": "deep", "5-2/deep/b": "deep",
        "7-2/c.txt": "of c", "7-2/deep/c": "deep",
    }  # fmt: skip
    assert [path.name for path in Path(child.start["output_dir"]).iterdir()] == ["deep"]


def test_a_failed_attempt_leaves_nothing(launch: Any, edge_python: str) -> None:
    child = launch(WRITES, python=edge_python).ready()

    result, _ = child.score("bad")

    assert (result["outcome"], result["files"]) == ("failed", [])
    assert files_below(child.start["output_dir"]) == {}
    assert files_below(child.start["staging_dir"]) == {}


def test_a_link_is_not_followed(launch: Any, edge_python: str) -> None:
    child = launch(WRITES, python=edge_python).ready()

    assert child.score("link")[0]["files"] == ["deep/link", "link.txt"]
    assert child.score("a")[0]["files"] == ["a.txt", "deep/a"]
    assert child.stderr.count("link is no plain file and is left out") == 1


def test_files_of_init_belong_to_no_mini_batch(launch: Any, edge_python: str) -> None:
    script = """
        import os
        OUT = os.environ["AZUREML_BI_OUTPUT_PATH"]
        def init():
            global log
            log = open(os.path.join(OUT, "long.log"), "w")
        def run(batch):
            log.write("x")
            open(os.path.join(OUT, "own"), "w").close()
            return batch
        def shutdown():
            log.close()
            open(os.path.join(OUT, "last"), "w").close()
    """
    child = launch(script, python=edge_python).ready()
    assert "init() wrote 1 file under AZUREML_BI_OUTPUT_PATH (long.log)" in child.stderr
    assert child.score("a")[0]["files"] == ["own"]

    assert child.stop()["files"] == ["last", "long.log"]
    assert files_below(child.start["staging_dir"]) == {"0-1/own": "", "stop/last": "", "stop/long.log": "x"}


def test_a_file_written_long_after_the_last_is_found(launch: Any) -> None:
    child = launch(
        WRITES.replace('(OUT / "deep").mkdir()', "pass").replace('(OUT / "deep" / name).write_text("deep")', "0")
    ).ready()
    os.utime(child.start["output_dir"], (1, 1))  # as if nothing had changed there for long
    assert child.score("nothing")[0]["files"] == []
    assert child.score("nothing")[0]["files"] == []

    assert child.score("a")[0]["files"] == ["a.txt"]
    assert child.score("b")[0]["files"] == ["b.txt"]
