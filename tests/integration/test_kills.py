"""Real processes that are killed by the system while they write: nothing torn is ever seen, and nothing is left."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import killing
import pytest
from quick import quick_folder

from gristmill.spec import Deployment, Input, Job, Output, Settings, to_json
from gristmill_storage import job_folder
from gristmill_storage.files import open_store
from gristmill_storage.local_store import LocalStore
from gristmill_storage.parts import Block, PartWriter, part_name


def run(*arguments: object) -> int:
    done = subprocess.run(
        [sys.executable, killing.__file__, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    with quick_folder(tmp_path) as made:
        yield made


def test_writers_killed_fifty_times_leave_the_file_whole_and_nothing_that_a_sweep_does_not_find(folder) -> None:
    assert run("write", folder, 50, 7) > 40


def test_a_living_writers_hidden_file_is_never_swept(tmp_path: Path) -> None:
    script = """
import sys
from gristmill_storage.local_store import LocalStore
with LocalStore(sys.argv[1]).writer("deep/file") as writer:
    writer.write(b"x" * (3 << 20))
    print("written", flush=True)
    sys.stdin.read()
    writer.publish()
"""
    store = LocalStore(tmp_path)
    store.create("deep/other", b"")
    (tmp_path / "deep/.gristmill-tmp-dead").write_bytes(b"half")
    (tmp_path / ".gristmill-tmp-lock").write_bytes(b"")
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == b"written\n"

        assert store.sweep(recursive=False) == 0
        assert store.sweep() == 1
        assert store.sweep() == 0

        process.stdin.close()
        assert process.wait(20) == 0
    assert (tmp_path / "deep/file").read_bytes() == b"x" * (3 << 20)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".gristmill-tmp-lock", "deep", "file", "other"]


class Template:
    """A job that is scored, to be copied and aggregated."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        rows = [f"{number:04d} {'y' * 3000}\n".encode() for number in range(400)]
        self.expected = b"".join(rows)
        output = folder / "template"
        job = Job(
            name="j",
            deployment=Deployment(name="d", settings=Settings()),
            input=Input(uri="/in"),
            output=Output(folder=str(output)),
            submitted=1.0,
        )
        store = open_store(job_folder.url(str(output), "j"))
        self._document: dict[str, Any] = to_json(job)
        for serial in range(8):
            self._part(store, serial, range(serial, len(rows), 8), rows)

    def _part(self, store: Any, serial: int, numbers: range, rows: list[bytes]) -> None:
        writer = PartWriter(store, part_name("0000000000001", numbers[0], "node", serial))
        for number in numbers:
            block = Block(
                mini_batch=number,
                attempt=1,
                items=2,
                succeeded=1,
                failed=1,
                rows=1,
                seconds=0.1,
                encoding="text",
                size=len(rows[number]),
                errors=(
                    {"file": str(number), "mini_batch": number, "attempts": 1, "category": "crash", "message": ""},
                ),
            )
            writer.add(block, rows[number])
        writer.seal()

    def copy(self, name: str) -> Path:
        """Return an output folder with the job in it, scored."""
        output = self.folder / name
        shutil.copytree(self.folder / "template", output)
        self._document["output"]["folder"] = str(output)
        store = open_store(job_folder.url(str(output), "j"))
        store.create(job_folder.SPEC, json.dumps(self._document).encode())
        return output

    def check(self, output: Path) -> None:
        """Insist on one output, complete, and nothing else."""
        assert (output / "predictions.csv").read_bytes() == self.expected
        assert (output / "errors.jsonl").read_bytes().count(b"\n") == 400
        assert b'"Completed"' in (output / ".gristmill/j/result.json").read_bytes()
        assert list(output.rglob("*.part")) == []
        assert {path.name for path in output.rglob(".*")} == {".gristmill"}


@pytest.fixture
def template(folder: Path) -> Template:
    return Template(folder)


def test_an_aggregator_killed_again_and_again_leaves_one_output_complete(template) -> None:
    before_their_end = 0
    for number in range(6):
        output = template.copy(f"out{number}")
        before_their_end += run("aggregate", output / ".gristmill/j", 3, number)
        template.check(output)
    assert before_their_end > 0


def test_two_aggregators_at_once_leave_one_output_complete(template) -> None:
    for number in range(10):
        output = template.copy(f"out{number}")
        run("race", output / ".gristmill/j")
        template.check(output)
