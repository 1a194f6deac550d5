"""What deployments, data assets and models name is told, and what was deleted is named no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gristmill_scheduler.resources.assembly import make_resources
from gristmill_scheduler.resources.naming import Naming
from gristmill_storage.files import open_store
from gristmill_storage.registration import Registry
from gristmill_storage.workspace import Workspace


class Named:
    """A workspace with an endpoint, a data asset, and a registry of models, and what its documents name."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.workspace = Workspace(open_store(str(folder / "workspace")))
        self.resources = make_resources(self.workspace, allowed_roots=[root])
        self.resources.endpoints.put("abc", {})
        self.naming = Naming(self.workspace, self.resources.references, Registry(""), uri="")


@pytest.fixture
def named(tmp_path: Path, root: Path) -> Named:
    return Named(tmp_path, root)


def trees(*addresses: str) -> set[str]:
    return {address.removeprefix("upload:") for address in addresses}


def test_deployments_name_their_code_and_their_models(named: Named, root: Path, upload: Callable[..., str]) -> None:
    code, model = upload(named.workspace, root / "code"), upload(named.workspace, root / "model")
    document: dict[str, Any] = {
        "model": {"path": f"{model}/weights.bin"},
        "code_configuration": {"code": code, "scoring_script": "score.py"},
    }
    named.resources.deployments.put("abc", "one", document)
    named.resources.deployments.put("abc", "two", {**document, "model": {"path": str(root / "model")}})
    assert named.naming.by_documents() == trees(code, model)
    assert (named.naming.registry, named.naming.by_models()) == ("", set())

    named.resources.deployments.delete("abc", "one")
    assert named.naming.by_documents() == trees(code)

    named.resources.endpoints.delete("abc")
    assert named.naming.by_documents() == set()


def test_a_deployment_names_what_it_was_made_of_last(named: Named, root: Path, upload: Callable[..., str]) -> None:
    codes = []
    for text in ("a", "b"):
        script = root / "code" / "score.py"
        script.write_text(f"{script.read_text()}\n# {text}\n")
        codes.append(upload(named.workspace, root / "code"))
        configured = {"code": codes[-1], "scoring_script": "score.py"}
        named.resources.deployments.put("abc", "one", {"code_configuration": configured, "model": {"path": str(root)}})

    assert named.naming.by_documents() == trees(codes[1])


def test_data_assets_name_their_paths_archived_ones_too(named: Named, root: Path, upload: Callable[..., str]) -> None:
    asset = upload(named.workspace, root / "in")
    named.resources.data.add("d", {"path": asset})
    named.resources.data.archive("d", "1", archived=True)
    assert named.naming.by_documents() == trees(asset)

    named.resources.data.delete("d", "1")
    assert named.naming.by_documents() == set()


def test_environments_name_the_folders_that_they_would_be_built_of(
    named: Named, root: Path, upload: Callable[..., str]
) -> None:
    folder = upload(named.workspace, root / "in")
    named.resources.environments.add("e", {"build": {"path": folder}})
    assert named.naming.by_documents() == trees(folder)

    named.resources.environments.delete("e", "1")
    assert named.naming.by_documents() == set()
