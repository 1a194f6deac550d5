"""Every command of the documentation is typed, page by page, in a folder of its own."""

from __future__ import annotations

import doctest
import shutil
from pathlib import Path

import doc_blocks
import pytest

PAGES = [
    page for page in doc_blocks.pages() if any(block.commands and not block.reason for block in doc_blocks.blocks(page))
]

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def follow(block: doc_blocks.Block, folder: Path) -> None:
    """Do what a reader of this block does."""
    if block.file:
        (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
        (folder / block.file).write_text(block.body, encoding="utf-8")
    for command in block.commands if not block.reason else ():
        printed = doc_blocks.type_in(command, folder, block.place)
        fits = not command.expected or doctest.OutputChecker().check_output(command.expected, printed, FLAGS)
        assert fits, f"{block.place}: {command.text}\nexpected:\n{command.expected}\nprinted:\n{printed}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(doc_blocks.ROOT).as_posix())
def test_every_command_of_the_page_works_in_order(page: Path, tmp_path: Path) -> None:
    shutil.copytree(doc_blocks.ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__"))

    try:
        for block in doc_blocks.blocks(page):
            follow(block, tmp_path)
    finally:
        if list(tmp_path.rglob("server.json")):
            doc_blocks.type_in(doc_blocks.Command("gristmill down"), tmp_path, "after the page")


def test_there_are_pages_to_follow() -> None:
    names = {page.relative_to(doc_blocks.ROOT).as_posix() for page in PAGES}

    assert {"README.md", "docs/tutorial.md"} <= names
    assert len([name for name in names if name.startswith("docs/how-to/")]) >= 4
