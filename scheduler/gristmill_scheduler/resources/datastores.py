"""Datastores: names for roots in stores, so that documents say `azureml://datastores/<name>/paths/<path>`.

`workspaceblobstore` is built in: the folder `data` of the workspace.

Credentials are never stored here. A document says where this server and the nodes find them, {environment: NAME} or
{file: NAME.json}; that is all that is kept, and all that the datastore's address tells them (`credentials.py` of the
storage). A literal secret is refused. A datastore that names none is opened with what each machine's own environment
gives to the driver: AWS_* for s3, AZURE_STORAGE_* for abfs, GOOGLE_APPLICATION_CREDENTIALS for gs, or its identity.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

from gristmill.documents import load_datastore
from gristmill.errors import Conflict
from gristmill_scheduler.resources.datastore_roots import root_of
from gristmill_scheduler.resources.faults import fault
from gristmill_scheduler.resources.names import check_name
from gristmill_scheduler.resources.records import Body, Record, Records
from gristmill_scheduler.resources.roots import DATA, Roots
from gristmill_scheduler.resources.shown import Shown, ShownList
from gristmill_storage import credentials
from gristmill_storage.files import is_local
from gristmill_storage.workspace import Workspace

#: The datastore that is always there.
DEFAULT: Final = "workspaceblobstore"

#: What may stand beneath credentials.
_NO_SECRETS: Final = ("type", "environment", "file", "tenant_id", "client_id", "authority_url", "resource_url")


class Datastores:
    """The datastores of a workspace."""

    def __init__(self, workspace: Workspace, roots: Roots) -> None:
        """Take the workspace, and the folders that requests may name."""
        self._workspace = workspace
        self._roots = roots
        self._records = Records(workspace.documents("datastores"), missing=_missing)

    def put(self, name: str, document: Mapping[str, Any], *, expected: int | None = None, by: str = "") -> Shown:
        """Make or replace a datastore.

        Raises:
            Conflict: it is the built-in one, or is there and `expected` is 0.
            InvalidDocument: the document cannot be used; it lists every fault.
            Forbidden: its folder is not inside the allowed ones.

        """
        check_name("name", name)
        _refuse_built_in(name)
        source = f"datastore {name}"
        given = load_datastore(document, name=name, local=False)
        _check_credentials(given.get("credentials", {}), source)
        body: Body = {"document": given, "root": root_of(given, source=source, roots=self._roots)}
        return _shown(self._records.write(name, lambda _found: body, expected=expected, by=by))

    def get(self, name: str) -> Shown:
        """Return a datastore.

        Raises:
            ResourceNotFound: there is none of that name.

        """
        return self._built_in() if name == DEFAULT else _shown(self._records.get(name))

    def root(self, name: str) -> str:
        """Return the address of a datastore's root, with a reference to its credentials.

        Raises:
            ResourceNotFound: there is none of that name.

        """
        document = self.get(name).document
        return credentials.referring(str(document["root"]), document.get("credentials", {}))

    def delete(self, name: str, *, expected: int | None = None, by: str = "") -> None:  # noqa: ARG002 - as elsewhere
        """Delete a datastore; what is in it stays.

        Raises:
            Conflict: it is the built-in one.
            ResourceNotFound: there is none of that name.

        """
        _refuse_built_in(name)
        self._records.delete(name, expected=expected)

    def list(self) -> ShownList:
        """Return all datastores, sorted by name."""
        shown = [self._built_in(), *map(_shown, self._records.all())]
        return sorted(shown, key=lambda each: str(each.document["name"]))

    def _built_in(self) -> Shown:
        url = self._workspace.url
        kind = "local" if is_local(url) else url.partition("://")[0]
        document = {
            "id": f"/datastores/{DEFAULT}",
            "name": DEFAULT,
            "description": "The workspace's own.",
            "type": kind,
            "root": f"{url.rstrip('/')}/{DATA}",
            "is_default": True,
        }
        return Shown(document=document, version=1)


def _shown(record: Record) -> Shown:
    document = {
        "id": f"/datastores/{record.name}",
        **record.document,
        "root": record.body.get("root", ""),
        "is_default": False,
        "creation_context": record.context,
    }
    return Shown(document=document, version=record.version, created=record.created)


def _missing(name: str) -> str:
    return f"datastore {name}: there is none on this server; make it first (datastore create), or use {DEFAULT}"


def _refuse_built_in(name: str) -> None:
    if name.lower() == DEFAULT:
        raise Conflict(f"datastore {DEFAULT}: it is the workspace's own and stays as it is; give another name")


def _check_credentials(given: Mapping[str, Any], source: str) -> None:
    for key in given:
        if key not in _NO_SECRETS:
            raise fault(
                source,
                f"credentials.{key}",
                "a secret is never kept in the workspace; write where nodes find it: credentials: {environment: NAME} "
                "or credentials: {file: NAME.json}",
            )
    file = given.get("file", "/")
    if not (os.path.isabs(file) or credentials.FILE_NAME.fullmatch(file)):  # noqa: PTH117 - perhaps no path at all
        # It may be the secret itself, so it is not shown.
        raise fault(
            source,
            "credentials.file",
            "no file: give the name of one in the nodes' GRISTMILL_SECRETS that ends in .json or .yaml, or an absolute "
            "path; not the secret",
        )
