from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gristmill.trees import Tree
from gristmill_scheduler.resources.assembly import Resources, make_resources
from gristmill_storage.files import MemoryStore, open_store
from gristmill_storage.workspace import Workspace

SCRIPT = "def init():\n    pass\n\n\ndef run(mini_batch):\n    return mini_batch\n"


@pytest.fixture
def workspace() -> Workspace:
    return Workspace(MemoryStore())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that requests may name, with a scoring script, a model and an input."""
    root = tmp_path / "allowed"
    for name, text in {"code/score.py": SCRIPT, "model/weights.bin": "w", "in/a.csv": "1", "in/b.csv": "2"}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.fixture
def resources(workspace: Workspace, root: Path) -> Resources:
    return make_resources(workspace, allowed_roots=[root], address=lambda: "http://here")


@pytest.fixture
def local(tmp_path: Path, root: Path) -> Resources:
    """The resources of a workspace on this machine, beside the folder that requests may name."""
    return make_resources(Workspace(open_store(str(tmp_path / "workspace"))), allowed_roots=[root])


@pytest.fixture
def deployment(root: Path) -> Callable[..., dict[str, Any]]:
    """Make a deployment's document; the keywords replace its keys."""

    def make(**keys: Any) -> dict[str, Any]:
        return {
            "type": "model",
            "model": {"path": str(root / "model")},
            "code_configuration": {"code": str(root / "code"), "scoring_script": "score.py"},
            "compute": "local",
            **keys,
        }

    return make


@pytest.fixture
def upload() -> Callable[[Workspace, Path], str]:
    """Send a folder to a workspace, and return its address."""

    def send(workspace: Workspace, folder: Path) -> str:
        tree, stream = Tree.of(folder), io.BytesIO()
        tree.write(stream)
        stream.seek(0)
        workspace.uploads.receive(tree.digest, stream, most_bytes=1 << 20, most_files=10)
        return f"upload:{tree.digest}"

    return send
