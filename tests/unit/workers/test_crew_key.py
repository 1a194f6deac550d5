"""Which jobs may share scorers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from gristmill.spec import Deployment, Input, Job, Output, RetrySettings, Settings
from gristmill_workers import crew_key
from gristmill_workers.environments import ScorerPython
from gristmill_workers.models import ModelFolder
from gristmill_workers.preparation import Prepared


class Asked:
    """A job and what was prepared for it, as changes leave them."""

    def __init__(self, folder: Path) -> None:
        self.model, self.code, self.scratch = folder / "model", folder / "code", folder / "scratch"
        for path in (self.model, self.code, self.scratch):
            path.mkdir()
        (self.model / "weights").write_text("7")
        (self.code / "score.py").write_text("def init(): pass")
        self.job = Job(
            name="j",
            deployment=Deployment(name="d"),
            input=Input(uri="/in"),
            output=Output(folder="/out"),
            kept_for="words/d/1/me",
        )
        self.share = 1

    def settings(self, **changes: object) -> None:
        settings = replace(self.job.deployment.settings, **changes)  # type: ignore[arg-type]
        self.job = replace(self.job, deployment=replace(self.job.deployment, settings=settings))

    def key(self) -> str:
        python = ScorerPython(executable=Path(sys.executable), python="3", origin="worker", why="")
        model = ModelFolder(azureml_model_dir=None, mlflow_path=None, source=self.model)
        prepared = Prepared(python=python, model=model, code=self.code)
        return crew_key.key_of(self.job, prepared, scratch=self.scratch, share=self.share)


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def _same_size(asked: Asked) -> None:
    weights = asked.model / "weights"
    before = weights.stat()
    weights.write_text("8")
    os.utime(weights, ns=(before.st_atime_ns, before.st_mtime_ns + 1))


def _same_time(asked: Asked) -> None:
    weights = asked.model / "weights"
    before = weights.stat()
    other = asked.model / "other"
    other.write_text("8")
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(weights)


@pytest.mark.parametrize(
    "change",
    [
        lambda asked: setattr(asked, "job", replace(asked.job, kept_for="words/d/2/me")),
        lambda asked: setattr(asked, "share", 2),
        lambda asked: asked.settings(max_concurrency_per_instance=2),
        lambda asked: asked.settings(logging_level="debug"),
        lambda asked: asked.job.deployment.environment_variables.update(A="1"),
        _same_size,
        _same_time,
        lambda asked: (asked.code / "more.py").touch(),
        lambda asked: (asked.code / "score.py").rename(asked.code / "other.py"),
    ],
    ids=["whose", "share", "scorers", "level", "variable", "same size", "same time", "module", "name"],
)
def test_what_tells_two_jobs_apart(asked: Asked, change: Callable[[Asked], object]) -> None:
    before = asked.key()
    assert before == asked.key() != ""
    change(asked)

    assert asked.key() not in ("", before)


@pytest.mark.parametrize(
    "change",
    [
        lambda asked: asked.settings(mini_batch_size=7, retry_settings=RetrySettings(timeout=9), error_threshold=3),
        lambda asked: asked.settings(output_file_name="other.csv", init_timeout=5, keep_scorers_seconds=9),
        lambda asked: setattr(asked, "job", replace(asked.job, name="k", input=Input(uri="/other"))),
        lambda asked: (asked.code / "__pycache__").mkdir(),
    ],
    ids=["node's settings", "more of them", "name and input", "compiled modules"],
)
def test_what_does_not(asked: Asked, change: Callable[[Asked], object]) -> None:
    before = asked.key()
    change(asked)

    assert asked.key() == before != ""


@pytest.mark.parametrize(
    "change",
    [
        lambda asked: setattr(asked, "job", replace(asked.job, kept_for="")),
        lambda asked: (asked.model / "link").symlink_to(asked.code),
        lambda asked: setattr(asked, "model", asked.model / "gone"),
        lambda asked: setattr(asked, "scratch", asked.model.parent),
    ],
    ids=["of nobody's server", "link to a folder", "gone", "the job's own model"],
)
def test_jobs_that_share_with_none(asked: Asked, change: Callable[[Asked], object]) -> None:
    change(asked)

    assert asked.key() == ""


def test_folders_of_too_many_files_are_not_looked_through(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew_key, "MOST_FILES", 1)
    assert asked.key()
    (asked.model / "more").touch()
    assert not asked.key()


def test_only_settings_that_there_are_are_the_nodes_own() -> None:
    assert set(Settings.__dataclass_fields__) >= crew_key.NODES_OWN
