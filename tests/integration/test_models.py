"""Models of a server in a registry of its own: one real database for all of these tests, it costs seconds to make."""

from __future__ import annotations

import itertools
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gristmill import spec
from gristmill.errors import Conflict, InvalidDocument, Mistake, PreconditionFailed, ResourceNotFound, StorageFailed
from gristmill.settings import ProcessSettings
from gristmill_scheduler.resources.assembly import make_resources
from gristmill_scheduler.resources.models import Models
from gristmill_scheduler.resources.naming import Naming
from gristmill_scheduler.resources.places import Located
from gristmill_storage.files import open_store
from gristmill_storage.registration import COPIES, Registry
from gristmill_storage.registry import identity
from gristmill_storage.workspace import Workspace
from gristmill_workers.models import prepare_model

mlflow = pytest.importorskip("mlflow")

_NAMES = itertools.count(1)


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """MLflow warns about itself; what is tested is what comes out."""
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def address(folder: Path) -> str:
    """A registry that is made by the first that asks for it."""
    return f"sqlite:///{folder / 'made' / 'mlflow.db'}"


@pytest.fixture
def models(address: str) -> Models:
    return Models(Registry(address), locate=locate)


@pytest.fixture
def name() -> str:
    return f"model-{next(_NAMES)}"


@pytest.fixture
def client(address: str, models: Models) -> Any:
    """MLflow's own, as a user has it; the registry is there."""
    models.list()
    return mlflow.MlflowClient(address, registry_uri=address)


def locate(text: str) -> Located:
    if text.startswith("upload:"):
        raise ResourceNotFound(f"{text}: nothing was uploaded")
    return Located(url=text, origin=text)


class Sent:
    """A workspace with an upload, and what resolves its address."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(open_store(str(folder)))
        self.tree = "a" * 64
        path = folder / "uploads" / self.tree
        path.mkdir(parents=True)
        (path / "weights.pt").write_text("7")
        (folder / "uploads" / f"{self.tree}.complete").write_text("{}")
        self.references = make_resources(self.workspace).references


def saved(folder: Path, called: str = "model", *, weights: str = "7") -> str:
    """Make a folder of files under a name, and return its path."""
    path = folder / uuid.uuid4().hex / called
    path.mkdir(parents=True)
    (path / "weights.pt").write_text(weights)
    return str(path)


def prepared(address: str, tmp_path: Path, model: str) -> Path:
    """Return AZUREML_MODEL_DIR of a job that uses a model by its reference."""
    settings = ProcessSettings.read({"MLFLOW_TRACKING_URI": address, "GRISTMILL_CACHE": str(tmp_path / "cache")})
    deployment = spec.Deployment(
        name="d",
        endpoint_name="e",
        model=spec.Model(reference=model, name="registered"),
        code_configuration=spec.CodeConfiguration(code=str(tmp_path), scoring_script="score.py"),
    )
    scratch = tmp_path / f"scratch-{uuid.uuid4().hex}"
    scratch.mkdir()
    found = prepare_model(deployment, scratch=scratch, settings=settings, log=lambda _: None).azureml_model_dir
    assert found is not None
    return found


# Versions


def test_versions_are_numbered_and_shown(models: Models, name: str, tmp_path: Path) -> None:
    paths = [saved(tmp_path), saved(tmp_path)]
    first = models.add(
        name, {"path": paths[0], "description": "old", "tags": {"a": "b"}, "properties": {"c": "d"}}, by="me"
    )
    second = models.add(name, {"path": paths[1], "type": "triton_model"}, by="you")
    assert (first.created, second.created) == (True, True)
    shown = models.get(name, "1").document
    assert shown == first.document
    assert shown.pop("creation_context").keys() == {
        "created_at",
        "created_by",
        "last_modified_at",
        "last_modified_by",
    }
    assert shown == {
        "id": f"/models/{name}/versions/1",
        "name": name,
        "version": "1",
        "type": "custom_model",
        "path": paths[0],
        "description": "old",
        "tags": {"a": "b"},
        "properties": {"c": "d"},
        "aliases": [],
        "archived": False,
    }
    assert second.document["type"] == "triton_model"
    assert second.document["creation_context"]["created_by"] == "you"
    assert [each.document["version"] for each in models.versions(name)] == ["2", "1"]
    assert models.labelled(name, "latest").document["version"] == "2"


def test_a_version_may_be_chosen_and_the_next_one_follows_it(models: Models, name: str, tmp_path: Path) -> None:
    models.put(name, "5", {"path": saved(tmp_path)})
    models.put(name, "blue", {"path": saved(tmp_path)})
    assert models.add(name, {"path": saved(tmp_path)}).document["version"] == "6"
    assert [each.document["version"] for each in models.versions(name)] == ["6", "blue", "5"]
    with pytest.raises(ResourceNotFound, match=f"model {name}:1: there is none"):
        models.get(name, "1")


def test_what_a_version_means_never_changes_but_what_is_said_of_it_does(
    models: Models, name: str, tmp_path: Path
) -> None:
    path = saved(tmp_path)
    made = models.put(name, "1", {"path": path, "tags": {"a": "1", "b": "1"}, "stage": "Test"}, by="me")
    again = models.put(name, "1", {**made.document, "tags": {"a": "2"}, "stage": "", "description": "new"}, by="you")
    assert not again.created
    assert (again.document["tags"], again.document["description"]) == ({"a": "2"}, "new")
    assert "stage" not in again.document
    assert again.document["creation_context"]["created_by"] == "me"
    assert again.document["creation_context"]["last_modified_by"] == "you"
    with pytest.raises(Conflict, match="it is there with another path, and what a version means never changes"):
        models.put(name, "1", {"path": saved(tmp_path)})
    with pytest.raises(Conflict, match="another type"):
        models.put(name, "1", {"path": path, "type": "triton_model"})


def test_a_lost_update_is_refused(models: Models, name: str, tmp_path: Path) -> None:
    path = saved(tmp_path)
    with pytest.raises(PreconditionFailed, match="gone"):
        models.put(name, "1", {"path": path}, expected=7)
    made = models.put(name, "1", {"path": path}, expected=0)
    with pytest.raises(Conflict):
        models.put(name, "1", {"path": path}, expected=0)
    changed = models.put(name, "1", {"path": path, "description": "x"}, expected=made.version)
    assert changed.version > made.version
    for act in (
        lambda: models.put(name, "1", {"path": path}, expected=made.version),
        lambda: models.delete(name, "1", expected=made.version),
    ):
        with pytest.raises(PreconditionFailed, match="changed meanwhile"):
            act()


def test_a_deleted_version_is_gone_and_its_number_is_not_given_again(models: Models, name: str, tmp_path: Path) -> None:
    models.put(name, "8", {"path": saved(tmp_path)})
    models.delete(name, "8")
    for act in (lambda: models.get(name, "8"), lambda: models.versions(name), lambda: models.delete(name, "8")):
        with pytest.raises(ResourceNotFound):
            act()
    assert models.add(name, {"path": saved(tmp_path)}).document["version"] == "9"


def test_archived_versions_are_hidden_and_never_the_latest(models: Models, name: str, tmp_path: Path) -> None:
    for _ in range(2):
        models.add(name, {"path": saved(tmp_path)})
    [hidden] = models.archive(name, "2", archived=True, by="me")
    assert hidden.document["archived"] is True
    assert [each.document["version"] for each in models.versions(name)] == ["1"]
    assert [each.document["version"] for each in models.versions(name, archived="only")] == ["2"]
    assert [each.document["version"] for each in models.versions(name, archived="include")] == ["2", "1"]
    assert (models.labelled(name, "latest").document["version"], models.pin(f"azureml:{name}")) == (
        "1",
        f"azureml:{name}:1",
    )
    assert models.get(name, "2").document["archived"] is True
    assert len(models.archive(name, None, archived=True)) == 2
    assert name not in [each.document["name"] for each in models.list()]
    models.archive(name, "1", archived=False)
    [listed] = [each.document for each in models.list() if each.document["name"] == name]
    assert (listed["version"], listed["latest_version"]) == ("1", "1")


# References


def test_references_are_pinned(models: Models, client: Any, name: str, tmp_path: Path) -> None:
    models.put(name, "7", {"path": saved(tmp_path)})
    models.put(name, "8", {"path": saved(tmp_path)})
    client.set_registered_model_alias(name, "champion", "1")
    assert models.labelled(name, "champion").document["aliases"] == ["champion"]
    long = "/subscriptions/s/resourceGroups/g/providers/p/workspaces/w/models"
    for text, pinned in {
        f"azureml:{name}": f"azureml:{name}:8",
        f"azureml:{name}@latest": f"azureml:{name}:8",
        f"azureml:{name}@champion": f"azureml:{name}:7",
        f"azureml:{name}:7": f"azureml:{name}:7",
        f"{long}/{name}/versions/8": f"azureml:{name}:8",
        f"models:/{name}/latest": f"models:/{name}/2",
        f"models:/{name}@champion": f"models:/{name}/1",
        f"models:/{name}/2": f"models:/{name}/2",
        "runs:/abc/model": "runs:/abc/model",
    }.items():
        assert models.pin(text) == pinned, text
    for text in (f"azureml:{name}:1", f"azureml:{name}@nobody", f"models:/{name}/9", "azureml:nobody:1"):
        with pytest.raises(ResourceNotFound):
            models.pin(text)


def test_what_mlflow_registered_is_a_model_like_others(models: Models, client: Any, name: str, tmp_path: Path) -> None:
    client.create_registered_model(name)
    client.create_model_version(name, saved(tmp_path), tags={"their": "own"})
    shown = models.get(name, "1").document
    assert (shown["type"], shown["tags"]) == ("mlflow_model", {"their": "own"})
    assert models.add(name, {"path": saved(tmp_path)}).document["version"] == "2"


def test_a_model_may_come_from_another_version_or_from_a_run(
    models: Models, client: Any, name: str, tmp_path: Path, address: str
) -> None:
    models.add(name, {"path": saved(tmp_path, weights="first")})
    copied = models.add(f"{name}-copy", {"path": f"azureml:{name}@latest"})
    assert copied.document["path"] == f"azureml:{name}:1"
    experiment = client.create_experiment(name, artifact_location=str(tmp_path / "artifacts"))
    run = client.create_run(experiment).info.run_id
    client.log_artifact(run, str(Path(saved(tmp_path, weights="run's"), "weights.pt")), "deep/best")
    models.add(f"{name}-run", {"path": f"runs:/{run}/deep/best"})
    assert (prepared(address, tmp_path, f"azureml:{name}-copy:1") / "model" / "weights.pt").read_text() == "first"
    assert (prepared(address, tmp_path, f"azureml:{name}-run:1") / "best" / "weights.pt").read_text() == "run's"
    with pytest.raises(ResourceNotFound):
        models.add(name, {"path": "azureml:nobody:1"})


def test_a_job_finds_a_registered_folder_by_its_own_name_and_a_file_directly(
    models: Models, name: str, tmp_path: Path, address: str
) -> None:
    path = saved(tmp_path, "deployment-torch")
    models.put(name, "3", {"path": path})
    models.put(name, "4", {"path": f"{path}/weights.pt"})
    folder, file = (prepared(address, tmp_path, f"azureml:{name}:{version}") for version in (3, 4))
    assert [str(entry.relative_to(folder)) for entry in sorted(folder.rglob("*"))] == [
        "deployment-torch",
        "deployment-torch/weights.pt",
    ]
    assert [entry.name for entry in file.iterdir()] == ["weights.pt"]


def test_files_are_copied_to_a_registry_that_cannot_see_them(name: str, tmp_path: Path, address: str) -> None:
    models = Models(Registry(address, copies=True), locate=locate)
    path = Path(saved(tmp_path))
    models.add(name, {"path": str(path)})
    models.add(name, {"path": str(path / "weights.pt")})
    (path / "weights.pt").unlink()
    assert (prepared(address, tmp_path, f"azureml:{name}:1") / "model" / "weights.pt").read_text() == "7"
    assert (prepared(address, tmp_path, f"azureml:{name}:2") / "weights.pt").read_text() == "7"


@pytest.mark.parametrize(
    "given",
    [
        "azureml://datastores/d/paths/model",
        "azureml://subscriptions/s/resourcegroups/g/workspaces/w/datastores/d/paths/model",
        "/subscriptions/s/resourceGroups/g/providers/p/workspaces/w/datastores/d/paths/model",
    ],
)
def test_every_form_of_a_datastores_path_is_a_place_and_no_reference(
    address: str, name: str, tmp_path: Path, given: str
) -> None:
    found = saved(tmp_path)
    models = Models(Registry(address), locate=lambda text: Located(url=found, origin=text))
    assert models.add(name, {"path": given}).document["path"] == given
    assert (prepared(address, tmp_path, f"azureml:{name}:1") / "model" / "weights.pt").read_text() == "7"


def test_a_database_and_its_runs_files_are_beside_each_other_and_never_in_the_working_folder(
    client: Any, tmp_path: Path, folder: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    Models(Registry(address, copies=True), locate=locate).add("beside", {"path": saved(tmp_path)})
    places = [each.artifact_location for each in client.search_experiments() if each.name in ("Default", COPIES)]
    assert len(places) == 2
    assert all(place.startswith(f"{(folder / 'made' / 'artifacts').as_uri()}/") for place in places), places
    assert list(working.iterdir()) == []


# Refusals


def test_what_cannot_be_registered_is_refused(models: Models, name: str, tmp_path: Path) -> None:
    path = saved(tmp_path)
    with pytest.raises(Mistake, match="there is no MLmodel file in it"):
        models.add(name, {"path": path, "type": "mlflow_model"})
    with pytest.raises(Mistake, match="latest is a label"):
        models.put(name, "latest", {"path": path})
    with pytest.raises(Mistake, match="begins with 'gristmill"):
        models.add(name, {"path": path, "tags": {"gristmill.type": "x"}})
    with pytest.raises(InvalidDocument, match="path"):
        models.add(name, {"description": "no path"})
    with pytest.raises(ResourceNotFound, match="nothing was uploaded"):
        models.add(name, {"path": f"upload:{'0' * 64}"})
    for bad in ("../x", "a b", ""):
        with pytest.raises(Mistake):
            models.add(bad, {"path": path})
        with pytest.raises(ResourceNotFound):
            models.get(bad, "1")
    with pytest.raises(ResourceNotFound):
        models.versions(name)


def test_a_server_without_a_registry_says_what_to_do() -> None:
    models = Models(Registry(""), locate=locate)
    for act in (models.list, lambda: models.pin("azureml:m:1"), lambda: models.add("m", {"path": "/x"})):
        with pytest.raises(Mistake, match="set MLFLOW_TRACKING_URI for it, or start it by `gristmill up`"):
            act()


def test_a_registry_that_is_away_is_a_failure_of_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    models = Models(Registry("http://me:secret@127.0.0.1:9"), locate=locate)
    with pytest.raises(StorageFailed) as caught:
        models.list()
    assert "secret" not in caught.value.message
    assert "\n" not in caught.value.message


def test_registries_in_files_have_identities(models: Models, address: str) -> None:
    models.list()
    assert len(identity(address)) == 32
    assert identity("http://127.0.0.1:9") == identity("sqlite:////nowhere/mlflow.db") == ""


def test_uploads_that_are_models_are_told_until_the_last_version_is_deleted(
    address: str, name: str, tmp_path: Path
) -> None:
    sent = Sent(tmp_path)
    naming = Naming(sent.workspace, sent.references, Registry(address), uri=address)
    models = Models(Registry(address), locate=naming.locate_model)
    for _ in range(2):
        models.add(name, {"path": f"upload:{sent.tree}/weights.pt"})
    assert sent.workspace.uploads.registry_of(sent.tree) == naming.registry != ""

    told = []
    for version in ("1", "2"):
        told.append(sent.tree in naming.by_models())
        models.delete(name, version)
    assert [*told, sent.tree in naming.by_models()] == [True, True, False]
