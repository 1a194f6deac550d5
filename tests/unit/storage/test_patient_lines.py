"""A file of a waiting store is read by lines, too, and goes on where a fault broke it off."""

from __future__ import annotations

import io
from typing import Any, BinaryIO

from gristmill_storage.memory_store import MemoryStore
from gristmill_storage.patience import Patience
from gristmill_storage.patient_store import patient


class Breaking(MemoryStore):
    """A store whose files break off once, after their first line."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False

    def open(self, path: str) -> BinaryIO:
        data = super().open(path)
        if self.broken:
            return data
        self.broken = True
        return BreaksOff(data.read())


class BreaksOff(io.BytesIO):
    def readline(self, *_: Any) -> bytes:
        if self.tell():
            raise ConnectionResetError("broken off")
        return super().readline()


def test_lines_come_whole_and_once_although_the_file_broke_off() -> None:
    store = Breaking()
    store.create("f", b"one\ntwo\nthree")

    with patient(store, Patience(5)).open("f") as file:
        assert file.readline() == b"one\n"
        assert list(file) == [b"two\n", b"three"]
        assert file.tell() == 13
    assert store.broken
