from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gristmill_workers.scorer import entry_script
from gristmill_workers.scorer.start import Start


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "modules", dict(sys.modules))
    yield Start(
        kind="script", root="/in", output_dir="/out", staging_dir="", working_dir="/work", log_dir=str(tmp_path)
    )
    logger = logging.getLogger("EntryScript")
    for handler in list(logger.handlers):
        handler.close()
        logger.removeHandler(handler)


def test_the_helper_is_found_where_azures_is_not(start: Start, tmp_path: Path) -> None:
    with pytest.raises(ImportError):
        importlib.import_module("azureml_user.parallel_run")
    entry_script.offer(start)

    entry = importlib.import_module("azureml_user.parallel_run").EntryScript()
    entry.logger.info("a line")
    entry.logger.info("another")

    assert (entry.log_dir, entry.output_dir, entry.working_dir) == (str(tmp_path), "/out", "/work")
    assert entry.agent_name == "process000"
    log = tmp_path / "entry_script_log" / "node" / "process000.log.txt"
    assert [line.split("|")[1::2] for line in log.read_text().splitlines()] == [["INFO", "a line"], ["INFO", "another"]]


def test_other_names_of_the_package_stay_unfound(start: Start) -> None:
    entry_script.offer(start)

    with pytest.raises(ModuleNotFoundError, match=r"azureml_user\.other"):
        importlib.import_module("azureml_user.other")
