from __future__ import annotations

import pytest

from gristmill.errors import Conflict, InvalidDocument, Mistake
from gristmill.spec import Environment
from gristmill_scheduler.resources.assembly import Resources
from gristmill_scheduler.resources.environments import Environments

CONDA = {"dependencies": ["python=3.11", {"pip": ["numpy==2.0"]}]}


@pytest.fixture
def environments(resources: Resources) -> Environments:
    return resources.environments


def test_an_environment_holds_the_content_of_its_files(environments: Environments) -> None:
    environments.put("e", "1", {"conda_file": CONDA, "image": "base:1", "description": "x"})
    environments.put("e", "2", {"requirements_file": ["numpy==2.0", "pandas"]})

    assert environments.resolved("e", "1") == Environment(
        reference="azureml:e:1", name="e", version="1", image="base:1", conda=CONDA
    )
    for latest in ("2", "latest", ""):
        found = environments.resolved("e", latest)
        assert (found.reference, found.requirements) == ("azureml:e:2", ("numpy==2.0", "pandas"))


def test_its_content_never_changes(environments: Environments) -> None:
    shown = environments.put("e", "1", {"conda_file": CONDA}).document

    assert not environments.put("e", "1", {**shown, "tags": {"a": "b"}}).created
    with pytest.raises(Conflict, match="another image"):
        environments.put("e", "1", {"conda_file": CONDA, "image": "other"})
    with pytest.raises(Conflict, match="another conda_file"):
        environments.put("e", "1", {"conda_file": {"dependencies": ["python=3.12"]}})


@pytest.mark.parametrize("document", [{}, {"conda_file": "conda.yml"}, {"conda_file": {"dependencies": 3}}, {"x": 1}])
def test_what_cannot_be_used_is_refused(environments: Environments, document: dict[str, object]) -> None:
    with pytest.raises(InvalidDocument):
        environments.add("e", document)


def test_one_that_is_built_is_recorded_and_used_by_none(environments: Environments) -> None:
    environments.add("e", {"build": {"path": "upload:" + "ab" * 32}})

    with pytest.raises(Mistake, match="Gristmill builds none"):
        environments.resolved("e", "1")
