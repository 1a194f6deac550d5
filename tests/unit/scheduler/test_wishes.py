from __future__ import annotations

import pytest

from gristmill.errors import StorageFailed
from gristmill_scheduler import wishes as wishes_module
from gristmill_scheduler.wishes import LOOK_SECONDS, Wish, Wishes
from gristmill_storage import job_folder
from gristmill_storage.files import open_store


@pytest.fixture
def folder(tmp_path):
    return open_store(str(tmp_path))


def test_nothing_is_wanted_of_a_job_without_wishes(folder) -> None:
    assert Wishes(folder).look() == Wish()


def test_what_one_process_wishes_another_sees_at_its_next_look(folder) -> None:
    seen = Wishes(folder)
    seen.look()

    Wishes(folder).cancel(keep_partial=True, by="somebody")
    Wishes(folder).pause(paused=True)

    assert seen.look() == Wish(cancel=True, keep_partial=True, by="somebody", paused=True)


def test_a_pause_ends(folder) -> None:
    wishes = Wishes(folder)
    wishes.pause(paused=True)
    wishes.pause(paused=False)

    assert not wishes.look().paused


def test_wishes_are_forgotten(folder) -> None:
    wishes = Wishes(folder)
    wishes.cancel(keep_partial=False, by="")
    wishes.pause(paused=True)
    wishes.clear()

    assert wishes.look() == Wish()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"null"])
def test_a_wish_that_cannot_be_read_is_a_wish(folder, content) -> None:
    folder.replace(job_folder.WISH_CANCEL, content)

    assert Wishes(folder).look() == Wish(cancel=True)


def test_elsewhere_than_on_disk_is_looked_once_a_second(monkeypatch) -> None:
    moments = [100.0]
    monkeypatch.setattr(wishes_module.time, "monotonic", lambda: moments[0])
    folder = open_store("memory://wishes/job")
    seen = Wishes(folder)
    seen.look()
    Wishes(folder).pause(paused=True)

    assert not seen.look().paused
    moments[0] += LOOK_SECONDS
    assert seen.look().paused


def test_a_store_that_cannot_be_read_has_no_new_wishes(folder, monkeypatch, caplog) -> None:
    wishes = Wishes(folder)
    wishes.pause(paused=True)
    assert wishes.look().paused

    def refuse(path: str) -> bytes:
        raise StorageFailed(f"{path}: permission denied")

    monkeypatch.setattr(folder, "read", refuse)

    assert wishes.look() == Wish(paused=True)
    assert "cannot be read" in caplog.text
