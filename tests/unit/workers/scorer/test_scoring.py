from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gristmill_workers.scorer.formats import Format, Unencodable
from gristmill_workers.scorer.protocol import PROGRESS_SIZE, Progress
from gristmill_workers.scorer.returned import WrongReturnType
from gristmill_workers.scorer.scoring import ScriptScoring
from gristmill_workers.scorer.script import ScriptProblem
from gristmill_workers.scorer.sink import Sink
from gristmill_workers.scorer.start import Start

SCRIPT = """
def init():
    global run
    run = real_run
def run(batch): raise NotImplementedError
def real_run(batch): return batch[: int(batch[0].rsplit("/", 1)[1])]
def shutdown(): raise InterruptedError
"""


@pytest.fixture
def progress() -> Iterator[Progress]:
    with tempfile.TemporaryFile() as memory:
        memory.truncate(PROGRESS_SIZE)
        found = Progress(memory.fileno())
        yield found
        found.close()


@pytest.fixture
def scoring(tmp_path: Path, progress: Progress, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))

    def make(source: str, name: str = "scoring_under_test.py", **more: Any) -> ScriptScoring:
        (tmp_path / name).write_text(source)
        start = Start(
            kind="script",
            root="/in/",
            output_dir=str(tmp_path),
            staging_dir=str(tmp_path),
            working_dir=str(tmp_path),
            code=str(tmp_path),
            script=name,
            **more,
        )
        return ScriptScoring(start, progress, frozenset(sys.modules))

    return make


def test_a_script_scores(scoring: Any, tmp_path: Path, progress: Progress) -> None:
    script = scoring(SCRIPT)
    script.load()
    sink = Sink(str(tmp_path / "spool"))

    scored = script.score(4, ["2", "b"], sink)

    assert sink.finish()[0] == b"/in/2\n/in/b\n"
    assert (scored.succeeded, scored.errors, scored.written.rows) == (2, [], 2)
    assert (progress.read()[0], progress.culprit()) == (None, 4)
    assert [error["category"] for error in script.score(5, ["1", "b"], sink).errors] == ["missing_results"]
    with pytest.raises(InterruptedError):
        script.close()


def test_a_run_that_raises_is_still_entered(scoring: Any, tmp_path: Path, progress: Progress) -> None:
    script = scoring(SCRIPT)
    script.load()

    with pytest.raises(ValueError, match="invalid literal"):
        script.score(4, ["no number"], Sink(str(tmp_path / "spool")))

    assert progress.read()[0] == 4


def test_a_context_reaches_run(scoring: Any, tmp_path: Path) -> None:
    script = scoring("def init(): pass\ndef run(batch, context): return [context.minibatch_index]\n")
    script.load()
    sink = Sink(str(tmp_path / "spool"))
    script.score(9, ["a"], sink)
    script.close()

    assert sink.finish()[0] == b"9\n"


def test_a_wrong_return_type_is_refused(scoring: Any, tmp_path: Path) -> None:
    script = scoring("def init(): pass\ndef run(batch): pass\n")
    script.load()

    with pytest.raises(
        WrongReturnType, match=r"The actual type of output is NoneType\. run\(\) ended without `return`"
    ):
        script.score(1, ["a"], Sink(str(tmp_path / "spool")))


def test_a_full_disk_is_worth_another_attempt(scoring: Any, tmp_path: Path) -> None:
    script = scoring("def init(): pass\ndef run(batch): return batch\n", form=Format("csv", delimiter=","))
    script.load()

    with pytest.raises(Unencodable, match="FileNotFoundError") as caught:
        script.score(1, ["a"], Sink(str(tmp_path / "gone" / "spool"), limit=0))

    assert not caught.value.final


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def run(batch): pass", "has no init: define `def init"),
        ("def init(): pass", "has no run: define `def run"),
        ("def init(): pass\nrun = 1", "has something that is no function as run"),
    ],
)
def test_what_a_script_lacks_is_named(scoring: Any, source: str, message: str) -> None:
    with pytest.raises(ScriptProblem, match=message):
        scoring(source).load()


def test_a_script_that_is_not_there_is_named(scoring: Any, tmp_path: Path) -> None:
    script = scoring(SCRIPT)
    (tmp_path / "scoring_under_test.py").unlink()

    with pytest.raises(ScriptProblem, match=r"code_configuration\.scoring_script: there is no file "):
        script.load()


def test_a_script_does_not_take_the_place_of_a_module_python_stands_on(scoring: Any) -> None:
    import os

    scoring("def init(): pass\ndef run(batch): return batch\n", name="os.py").load()

    assert sys.modules["os"] is os
    assert "scoring_os" in sys.modules
