from __future__ import annotations

from pathlib import Path

import pytest

from gristmill.errors import Forbidden, InputNotFound, Mistake, ResourceNotFound
from gristmill_scheduler.resources.assembly import Resources, make_resources
from gristmill_scheduler.resources.places import Kind
from gristmill_scheduler.resources.references import References
from gristmill_storage.files import open_store
from gristmill_storage.workspace import Workspace

TREE = "ab" * 32


@pytest.fixture
def references(resources: Resources) -> References:
    resources.data.put("d", "1", {"path": "https://example.org/one/"})
    resources.data.put("d", "2", {"path": "s3://b/two.csv", "type": "uri_file"})
    resources.datastores.put("box", {"type": "s3", "bucket": "b", "prefix": "p"})
    return resources.references


@pytest.mark.parametrize(
    ("text", "url", "kind", "origin"),
    [
        ("azureml:d:1", "https://example.org/one/", "uri_folder", "azureml:d:1"),
        ("azureml:d@latest", "s3://b/two.csv", "uri_file", "azureml:d:2"),
        ("azureml:d", "s3://b/two.csv", "uri_file", "azureml:d:2"),
        ("/data/d/versions/1", "https://example.org/one/", "uri_folder", "azureml:d:1"),
        (
            "/subscriptions/s/resourceGroups/r/providers/Microsoft.MachineLearningServices/workspaces/w/data/d/versions/1",
            "https://example.org/one/",
            "uri_folder",
            "azureml:d:1",
        ),
        (
            "azureml:/subscriptions/s/resourceGroups/r/providers/x/workspaces/w/data/d/versions/2",
            "s3://b/two.csv",
            "uri_file",
            "azureml:d:2",
        ),
        (
            "azureml://locations/westeurope/workspaces/w/data/d/versions/labels/latest",
            "s3://b/two.csv",
            "uri_file",
            "azureml:d:2",
        ),
    ],
)
def test_a_data_asset_leads_to_its_path(references: References, text: str, url: str, kind: str, origin: str) -> None:
    found = references.uri(text, kind="input")

    assert (found.url, found.type, found.origin) == (url, kind, origin)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("azureml://datastores/box/paths/a/b.csv", "s3://b/p/a/b.csv"),
        ("azureml://datastores/box/paths/a/", "s3://b/p/a"),
        ("azureml://datastores/box/paths/", "s3://b/p"),
        ("azureml://datastores/box", "s3://b/p"),
        (
            "azureml://subscriptions/s/resourcegroups/r/workspaces/w/datastores/box/paths/models/data/x/versions/1",
            "s3://b/p/models/data/x/versions/1",
        ),
        ("azureml:/subscriptions/s/resourceGroups/r/providers/p/workspaces/w/datastores/box/paths/x", "s3://b/p/x"),
        ("/subscriptions/s/resourceGroups/r/providers/p/workspaces/w/datastores/box", "s3://b/p"),
        ("https://example.org/x.csv", "https://example.org/x.csv"),
        ("s3://bucket/x", "s3://bucket/x"),
        ("abfss://c@a.dfs.core.windows.net/x", "abfss://c@a.dfs.core.windows.net/x"),
        ("gs://bucket/x", "gs://bucket/x"),
    ],
)
def test_an_address_leads_to_a_place(references: References, text: str, url: str) -> None:
    found = references.uri(text, kind="input")

    assert (found.url, found.type) == (url, None)


def test_the_built_in_datastore_is_a_folder_of_the_workspace(local: Resources, tmp_path: Path) -> None:
    found = local.references.uri("azureml://datastores/workspaceblobstore/paths/azureml/j/score", kind="output")

    assert found.url == f"{tmp_path}/workspace/data/azureml/j/score"


def test_a_signature_is_used_and_not_shown(references: References) -> None:
    found = references.uri("https://a.org/x.csv?sig=s3cr3t", kind="input")

    assert found.url.endswith("sig=s3cr3t")
    assert "s3cr3t" not in found.origin


def test_a_local_path_is_allowed_inside_the_roots(references: References, root: Path) -> None:
    assert references.uri(f"{root}/in", kind="input").url == f"{root}/in"
    assert references.uri(f"{root}/made/later", kind="output").url == f"{root}/made/later"
    with pytest.raises(InputNotFound, match="There is no file or folder on target path: "):
        references.uri(f"{root}/nothing", kind="input")
    with pytest.raises(Forbidden, match="--allow-root"):
        references.uri("/etc", kind="input")


@pytest.mark.parametrize(
    ("text", "kind", "error", "message"),
    [
        ("", "input", Mistake, "Input path can't be empty for batch endpoint invoke"),
        ("  ", "input", Mistake, "can't be empty"),
        ("in/a.csv", "input", Mistake, "in/a.csv: Supported input path value are"),
        ("d:1", "input", Mistake, "Supported input path value are"),
        ("ftp://x/y", "input", Mistake, "nothing is known of ftp://"),
        ("memory://x/y", "input", Mistake, "nothing is known of memory://"),
        ("azureml:e:1", "input", ResourceNotFound, "data asset e:1"),
        ("azureml:d@best", "input", ResourceNotFound, "no label 'best'"),
        ("azureml:d:9", "input", ResourceNotFound, "data asset d:9"),
        ("azureml:d:1:2", "input", Mistake, "Supported input path"),
        ("/data/e/versions/1", "input", Forbidden, "--allow-root"),
        ("azureml://datastores/nowhere/paths/x", "input", ResourceNotFound, "datastore nowhere"),
        ("azureml://datastores/box/paths/../x", "input", Mistake, "without '..'"),
        ("azureml://datastores/box/paths/a//b", "input", Mistake, "'//'"),
        ("/subscriptions/s/resourceGroups/r/models/m/versions/1", "input", Mistake, "Invalid input path"),
        ("https://example.org/x", "output", Mistake, "can only be read"),
        ("azureml:d:1", "output", Mistake, "a data asset is an input"),
        (f"upload:{TREE}", "output", Mistake, "never changes"),
        ("upload:short", "input", Mistake, "64 digits"),
        (f"upload:{TREE}/../x", "input", Mistake, "without '..'"),
        (f"upload:{TREE}/x", "input", ResourceNotFound, TREE),
        ("https://x/a\nb", "input", Mistake, "characters that no address"),
    ],
)
def test_what_leads_nowhere_is_refused(
    references: References, text: str, kind: Kind, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        references.uri(text, kind=kind)


def test_a_datastore_above_the_workspace_does_not_show_it(root: Path) -> None:
    resources = make_resources(Workspace(open_store(str(root / "w"))), allowed_roots=[root])
    resources.datastores.put("home", {"type": "local", "path": str(root)})

    assert resources.references.uri("azureml://datastores/home/paths/in", kind="input").url == f"{root}/in"
    for path in ("w/run/token", "w/documents/tokens", ""):
        with pytest.raises(Forbidden):
            resources.references.uri(f"azureml://datastores/home/paths/{path}", kind="input")


@pytest.mark.parametrize(
    "address",
    [
        "https://ann:s3cret@host/in/",
        "https://s3cret@host/in/?sig=x",
        "HTTP://ann:s3cret@host",
        "s3://AKIA:s3cret@bucket/in",
        "gs://ann:s3cret@bucket",
        "abfs://ann:s3cret@account.dfs.core.windows.net/in",
    ],
)
def test_an_address_with_a_password_is_refused_without_telling_it(resources: Resources, address: str) -> None:
    acts = [
        lambda: resources.references.uri(address, kind="input"),
        lambda: resources.references.uri(address, kind="output"),
        lambda: resources.references.uri(address, kind="model"),
        lambda: resources.references.uri(address, kind="code"),
        lambda: resources.data.put("d", "1", {"path": address, "type": "uri_folder"}),
    ]
    for act in acts:
        with pytest.raises(Mistake, match=r"give (azureml://)?a? ?datastore") as caught:
            act()
        assert "s3cret" not in str(caught.value)
    assert resources.data.list() == []


@pytest.mark.parametrize(
    "address",
    [
        "https://host/in/?sig=a@b:c",
        "https://host?to=a@b",
        "https://host/a@b:c/",
        "abfs://container@account.dfs.core.windows.net/in",
        "s3://bucket/a:b@c",
    ],
)
def test_an_address_with_the_same_signs_elsewhere_is_taken(references: References, address: str) -> None:
    assert references.uri(address, kind="input").url == address
