from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gristmill.errors import Conflict, Forbidden, InvalidDocument, Mistake, ResourceNotFound
from gristmill_scheduler.resources.assembly import Resources, make_resources
from gristmill_storage.workspace import Workspace

BLOB = {"type": "azure_blob", "account_name": "acc", "container_name": "box"}


@pytest.mark.parametrize(
    ("document", "address"),
    [
        (BLOB, "abfs://box@acc.dfs.core.windows.net"),
        (
            {**BLOB, "endpoint": "core.chinacloudapi.cn", "protocol": "https"},
            "abfs://box@acc.dfs.core.chinacloudapi.cn",
        ),
        (
            {"type": "azure_data_lake_gen2", "account_name": "acc", "filesystem": "fs"},
            "abfs://fs@acc.dfs.core.windows.net",
        ),
        ({"type": "s3", "bucket": "b"}, "s3://b"),
        ({"type": "s3", "bucket": "b", "prefix": "/x/y/"}, "s3://b/x/y"),
        ({"type": "gcs", "bucket": "b", "prefix": "x"}, "gs://b/x"),
    ],
)
def test_a_datastore_leads_to_a_root(resources: Resources, document: dict[str, Any], address: str) -> None:
    made = resources.datastores.put("d", document, by="ann")

    assert made.created
    assert made.document["root"] == resources.datastores.root("d") == address
    assert made.document["id"] == "/datastores/d"
    assert not resources.datastores.put("d", made.document).created


def test_a_local_one_is_inside_the_allowed_folders(resources: Resources, root: Path) -> None:
    assert resources.datastores.put("d", {"type": "local", "path": f"{root}/in"}).document["root"] == f"{root}/in"
    with pytest.raises(Forbidden):
        resources.datastores.put("d", {"type": "local", "path": "/etc"})


def test_one_is_built_in_and_stays(resources: Resources) -> None:
    shown = resources.datastores.get("workspaceblobstore").document

    assert shown["is_default"] is True
    assert shown["root"].endswith("/data")
    assert [each.document["name"] for each in resources.datastores.list()] == ["workspaceblobstore"]
    with pytest.raises(Conflict, match="stays as it is"):
        resources.datastores.delete("workspaceblobstore")
    with pytest.raises(Conflict, match="stays as it is"):
        resources.datastores.put("workspaceblobstore", BLOB)


@pytest.mark.parametrize(
    "credentials",
    [
        {"account_key": "s3cr3t"},
        {"sas_token": "s3cr3t"},
        {"tenant_id": "t", "client_id": "c", "client_secret": "s3cr3t"},
        {"password": "s3cr3t"},
        {"environment": "s3cr3t=="},
        {"file": "s3cr3t"},
    ],
)
def test_a_secret_is_neither_kept_nor_shown(
    resources: Resources, workspace: Workspace, credentials: dict[str, str]
) -> None:
    with pytest.raises(InvalidDocument, match="credentials") as refused:
        resources.datastores.put("d", {**BLOB, "credentials": credentials})
    assert "s3cr3t" not in str(refused.value)
    assert not list(workspace.store.list())


def test_the_way_out_is_named(resources: Resources) -> None:
    with pytest.raises(
        InvalidDocument, match=r"credentials: \{environment: NAME\} or credentials: \{file: NAME.json\}"
    ):
        resources.datastores.put("d", {**BLOB, "credentials": {"account_key": "s"}})


@pytest.mark.parametrize("credentials", [{"environment": "AZURE_KEY"}, {"file": "/run/secret"}, {"tenant_id": "t"}])
def test_where_a_secret_is_found_is_kept(resources: Resources, credentials: dict[str, str]) -> None:
    assert resources.datastores.put("d", {**BLOB, "credentials": credentials}).document["credentials"] == credentials


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({}, "type: Missing data"),
        ({"type": "ftp"}, "not in set"),
        ({"type": "s3"}, "bucket: Missing data"),
        ({**BLOB, "bucket": "b"}, "bucket: Unknown field"),
        ({**BLOB, "account_name": "a/b@c"}, "account_name: String does not match"),
        ({"type": "s3", "bucket": "b", "prefix": "x/../y"}, "prefix"),
        ({"type": "azure_file", "account_name": "a", "file_share_name": "s"}, "mount the share"),
    ],
)
def test_a_datastore_that_cannot_be_used_is_refused(
    resources: Resources, document: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidDocument, match=message):
        resources.datastores.put("d", document)


def test_deleting_and_missing(resources: Resources) -> None:
    resources.datastores.put("d", BLOB)
    resources.datastores.delete("d")

    for call in (lambda: resources.datastores.get("d"), lambda: resources.datastores.delete("d")):
        with pytest.raises(ResourceNotFound, match="datastore d: there is none"):
            call()
    with pytest.raises(Mistake, match="name"):
        resources.datastores.put("a/b", BLOB)


def test_a_folder_that_is_allowed_no_longer_is_not_read(workspace: Workspace, root: Path) -> None:
    make_resources(workspace, allowed_roots=[root]).datastores.put("d", {"type": "local", "path": f"{root}/in"})

    with pytest.raises(Forbidden):
        make_resources(workspace).references.uri("azureml://datastores/d/paths/a.csv", kind="input")
