"""Which hosts the addresses of requests may name."""

from __future__ import annotations

import pytest

from gristmill.errors import Forbidden
from gristmill_scheduler.resources.assembly import Resources, make_resources
from gristmill_storage.reach import Reach
from gristmill_storage.workspace import Workspace


def bounded(workspace: Workspace, *allowed: str) -> Resources:
    return make_resources(workspace, reach=Reach.read(allowed))


@pytest.mark.parametrize("kind", ["input", "code", "model"])
@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:8000/in/",
        "https://localhost/in/",
        "http://[::1]/in",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://10.0.0.1/in?sig=s3cret",
        "http://[::ffff:10.0.0.1]/in",
        "http://0.0.0.0/",
    ],
)
def test_an_address_inside_is_refused_at_once(workspace: Workspace, address: str, kind: str) -> None:
    with pytest.raises(Forbidden, match="--allow-host") as caught:
        bounded(workspace).references.uri(address, kind=kind)  # type: ignore[arg-type]
    assert "s3cret" not in str(caught.value)


def test_public_addresses_names_and_what_is_allowed_are_taken(workspace: Workspace) -> None:
    references = bounded(workspace, "10.0.0.0/8", "localhost").references
    for address in (
        "https://example.org/in/",
        "http://files.corp/in",
        "http://93.184.216.34/in",
        "http://10.1.1.1/",
        "http://localhost/",
    ):
        assert references.uri(address, kind="input").url == address


def test_a_data_asset_leads_nowhere_else(workspace: Workspace) -> None:
    resources = bounded(workspace)
    with pytest.raises(Forbidden):
        resources.data.put("d", "1", {"path": "http://127.0.0.1/in/"})


@pytest.mark.parametrize("domain", ["core.windows.net", "core.chinacloudapi.cn", "core.usgovcloudapi.net"])
def test_accounts_of_azures_own_are_taken(workspace: Workspace, domain: str) -> None:
    address = f"abfs://box@account.dfs.{domain}/in"
    assert bounded(workspace).references.uri(address, kind="input").url == address


@pytest.mark.parametrize("kind", ["input", "output"])
def test_no_other_host_is_shown_the_servers_credentials(workspace: Workspace, kind: str) -> None:
    address = "abfs://box@account.blob.elsewhere.example/in"
    with pytest.raises(Forbidden, match=r"account.blob.elsewhere.example is none of Azure's own hosts"):
        bounded(workspace).references.uri(address, kind=kind)  # type: ignore[arg-type]
    allowed = bounded(workspace, ".elsewhere.example")
    assert allowed.references.uri(address, kind=kind).url == address  # type: ignore[arg-type]


def test_a_datastore_may_name_any_host(workspace: Workspace) -> None:
    resources = bounded(workspace)
    resources.datastores.put(
        "box", {"type": "azure_blob", "account_name": "a", "container_name": "c", "endpoint": "elsewhere.example"}
    )

    found = resources.references.uri("azureml://datastores/box/paths/in", kind="input")

    assert found.url == "abfs://c@a.dfs.elsewhere.example/in"
