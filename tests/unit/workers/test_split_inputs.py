"""Where slices of tables lie for a scorer: in the user's file, or in a copy of their bytes."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path

from gristmill.spec import Input
from gristmill_storage.files import open_store
from gristmill_storage.patience import Patience
from gristmill_storage.slices import Slice
from gristmill_workers.inputs import FetchedInputs, LocalInputs
from gristmill_workers.work import Work

DATA = b"a,b\n1,x\n2,y\n3,z\n"
SLICE = Slice(file="deep/x.csv", row=1, rows=2, start=8, end=16, head=8)
WORK = Work(number=0, attempt=1, token="t", items=(SLICE.name, "odd#whole#whole"))


def test_a_scorer_is_told_which_of_a_files_rows_an_item_is() -> None:
    inputs, waiting = LocalInputs("/in", split=True), deque[Work]()
    inputs.want([WORK])
    inputs.ready(waiting)

    command = waiting[0].command()

    assert command["items"] == WORK.items
    assert command["slices"] == [
        {"at": "deep/x.csv", **SLICE.document()},
        {"at": "odd#whole", "file": "odd#whole"},
    ]


def test_without_slices_nothing_is_said_of_them() -> None:
    inputs, waiting = LocalInputs("/in"), deque[Work]()
    inputs.want([WORK])
    inputs.ready(waiting)

    assert "slices" not in waiting[0].command()


def test_a_slice_of_a_remote_table_is_a_copy_of_its_bytes(tmp_path: Path) -> None:
    store = open_store("memory://split-inputs")
    store.replace("deep/x.csv", DATA)
    store.replace("odd#whole", b"whole")
    inputs = FetchedInputs(Input(uri="memory://split-inputs"), tmp_path, Patience(0), split=True)
    waiting, deadline = deque[Work](), time.monotonic() + 30
    inputs.want([WORK])
    while not waiting and time.monotonic() < deadline:
        assert inputs.ready(waiting) == []

    places = [Path(inputs.root, told["at"]) for told in waiting[0].command()["slices"]]

    assert places[0].read_bytes() == DATA
    assert places[1].read_bytes() == b"whole"
    inputs.done(waiting[0])
    assert not places[0].exists()
    inputs.close()
