from __future__ import annotations

from pathlib import Path

import pytest

from gristmill.errors import Forbidden, Mistake
from gristmill_scheduler.resources.roots import Roots, inside


def test_a_path_inside_is_kept_and_one_outside_is_refused(root: Path) -> None:
    roots = Roots([root])

    assert roots.place(f"{root}/in", reading=True) == f"{root}/in"
    assert roots.place(f"file://{root}/in", reading=True) == f"{root}/in"
    assert roots.place(f"{root}/in/../model", reading=True) == f"{root}/model"
    assert roots.place(str(root), reading=True) == str(root)
    for path in ("/etc/passwd", str(root.parent), f"{root}/../x", f"{root}-beside"):
        with pytest.raises(Forbidden, match=r"not inside the folders that this server lets requests use.*--allow-root"):
            roots.place(path, reading=True)


def test_a_link_leads_where_it_leads(root: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.mkdir()
    (root / "out").symlink_to(secret)
    (root / "current").symlink_to("model")

    with pytest.raises(Forbidden):
        Roots([root]).place(f"{root}/out", reading=True)
    with pytest.raises(Forbidden):
        Roots([root]).place(f"{root}/out/made/later", reading=False)
    # A model's name counts, so the last link is not resolved.
    assert Roots([root]).place(f"{root}/current", reading=True) == f"{root}/current"
    assert Roots([root]).place(f"{root}/current/x", reading=True) == f"{root}/model/x"


def test_a_root_may_itself_be_a_link(root: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(root)

    assert Roots([link]).place(f"{link}/in", reading=True) == f"{root}/in"
    assert Roots([link]).place(f"{root}/in", reading=True) == f"{root}/in"


def test_nothing_of_the_workspace_but_its_data_can_be_named(tmp_path: Path) -> None:
    workspace = tmp_path / "w"
    (workspace / "data").mkdir(parents=True)
    roots = Roots([tmp_path], workspace=str(workspace))

    assert roots.place(f"{workspace}/data/x", reading=True) == f"{workspace}/data/x"
    for path in (f"{workspace}/run/token", f"{workspace}/documents", str(workspace)):
        for reading in (True, False):
            with pytest.raises(Forbidden):
                roots.place(path, reading=reading)
    with pytest.raises(Forbidden):
        roots.place(str(tmp_path), reading=True)
    assert roots.place(str(tmp_path), reading=False) == str(tmp_path)


@pytest.mark.parametrize("path", ["in/a.csv", "./x", "file:x", "/x\0y"])
def test_a_relative_path_means_nothing_here(root: Path, path: str) -> None:
    with pytest.raises(Mistake):
        Roots([root]).place(path, reading=True)


def test_without_roots_nothing_is_allowed(root: Path) -> None:
    with pytest.raises(Forbidden, match=r"\(none\)"):
        Roots().place(str(root), reading=True)


def test_a_datastore_is_not_left_by_a_link(root: Path, tmp_path: Path) -> None:
    (root / "out").symlink_to(tmp_path)

    assert inside(str(root), "in/a.csv") == f"{root}/in/a.csv"
    assert inside(str(root), "") == str(root)
    with pytest.raises(Forbidden, match="leads out of its datastore"):
        inside(str(root), "out/x")
