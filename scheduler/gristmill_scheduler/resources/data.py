"""Data assets: names and versions for addresses."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from gristmill.documents import load_data
from gristmill_scheduler.resources.assets import Assets
from gristmill_scheduler.resources.faults import fault
from gristmill_scheduler.resources.places import Places
from gristmill_scheduler.resources.records import Body
from gristmill_storage.files import is_local
from gristmill_storage.workspace import Workspace

_FILE: Final = "uri_file"
_FOLDER: Final = "uri_folder"

#: What makes a web address a secret: whoever has it may read.
_SIGNED: Final = re.compile(r"[?&](sig|x-amz-signature|x-goog-signature|token|key|password)=", re.IGNORECASE)
_USER: Final = re.compile(r"://[^/?#@]*:[^/?#@]*@")


class Data(Assets):
    """The data assets of a workspace."""

    collection: ClassVar[str] = "data"
    word: ClassVar[str] = "data asset"
    content: ClassVar[tuple[str, ...]] = ("type", "path")

    def __init__(self, workspace: Workspace, places: Places) -> None:
        """Take the workspace, and where addresses lead."""
        super().__init__(workspace)
        self._places = places

    def _body(self, name: str, version: str, document: Mapping[str, Any]) -> Body:
        given = {"type": _FOLDER, **load_data(document, name=name, version=version, local=False)}
        self._check(given["path"], given["type"], f"data asset {name}")
        return {"document": given}

    def _check(self, path: str, kind: str, source: str) -> None:
        """Refuse an address that leads nowhere, or to a file where a folder was promised."""
        if kind not in (_FILE, _FOLDER):
            raise fault(source, "type", f"{kind} is not supported; give {_FOLDER} or {_FILE}")
        if path.startswith("azureml:") and not path.startswith("azureml:/"):
            raise fault(source, "path", "a data asset leads to a place, not to another asset; give that one's path")
        if _SIGNED.search(path) or _USER.search(path):
            raise fault(source, "path", "the address carries a secret, and none is kept here; give a datastore's path")
        what = "file" if kind == _FILE else "folder"
        if _is_another(self._places.place(path, kind="input").url, kind):
            raise fault(source, "path", f"There is no {what} on target path: {path}. Give its path, or another type")


def _is_another(url: str, kind: str) -> bool:
    """Whether there is a folder of this machine where a file was promised, or the other way."""
    if not is_local(url) or not os.path.exists(url):  # noqa: PTH110 - Path.exists raises where a name is too long
        return False
    return os.path.isdir(url) is (kind == _FILE)  # noqa: PTH112 - as above
