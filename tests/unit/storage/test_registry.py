"""References are resolved by a real MLflow client against a real file store, and against a small artifact server."""

from __future__ import annotations

import builtins
import json
import re
import sys
import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gristmill import spec
from gristmill.errors import MissingExtra, ModelNotFound, StorageFailed
from gristmill_storage.registry import resolve_model


@pytest.fixture
def quiet(monkeypatch, tmp_path):
    """MLflow warns about itself; what is tested is what comes out."""
    # MLflow's file store makes a client of MLflow's own choice too, which is the working folder unless it is told.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"file://{tmp_path / 'another'}")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        yield


@pytest.fixture
def registry(tmp_path, quiet):
    """A registry with the model `m` in three versions; its address."""
    import mlflow

    address = f"file://{tmp_path / 'store'}"
    client = mlflow.MlflowClient(address, registry_uri=address)
    client.create_registered_model("m")
    for version in (1, 2, 3):
        folder = tmp_path / "saved" / str(version)
        (folder / "data").mkdir(parents=True)
        (folder / "MLmodel").write_text(f"version {version}")
        (folder / "data" / "model.pkl").write_bytes(b"x")
        client.create_model_version("m", str(folder))
    client.set_registered_model_alias("m", "champion", "2")
    client.transition_model_version_stage("m", "1", "Production")
    return address


@pytest.fixture
def resolve(tmp_path):
    def resolve_(reference: str, tracking_uri: str | None) -> Path:
        return resolve_model(spec.Model(reference=reference), tmp_path / "models" / "here", tracking_uri=tracking_uri)

    return resolve_


@pytest.mark.parametrize(
    ("reference", "version"),
    [
        ("models:/m/1", 1),
        ("models:/m/2/", 2),
        ("models:/m/latest", 3),
        ("models:/m/Latest", 3),
        ("models:/m/production", 1),
        ("models:/m@champion", 2),
        ("azureml:m:1", 1),
        ("azureml:m@latest", 3),
        ("azureml:m@champion", 2),
        ("azureml:m", 3),
    ],
)
def test_a_reference_becomes_the_versions_files(registry, resolve, tmp_path, reference, version):
    found = resolve(reference, registry)
    assert found == tmp_path / "models" / "here" / str(version), "the folder keeps the name that it was registered by"
    assert (found / "MLmodel").read_text() == f"version {version}"
    assert (found / "data" / "model.pkl").is_file()
    # Nothing is left beside it, and nothing was written into the registry's own folder.
    assert [entry.name for entry in (tmp_path / "models").iterdir()] == ["here"]
    saved = tmp_path / "saved" / str(version)
    assert sorted(entry.name for entry in saved.iterdir()) == ["MLmodel", "data"]


def test_a_path_inside_a_model_may_be_named(registry, resolve):
    found = resolve("models:/m/1/data", registry)
    assert [entry.name for entry in found.iterdir()] == ["model.pkl"]


def test_a_model_that_is_one_file_is_that_file(registry, resolve, tmp_path):
    found = resolve("models:/m/1/data/model.pkl", registry)
    assert found == tmp_path / "models" / "here" / "model.pkl"
    assert found.read_bytes() == b"x"


def test_an_empty_folder_may_be_there_already(registry, resolve, tmp_path):
    (tmp_path / "models" / "here").mkdir(parents=True)
    assert (resolve("models:/m/1", registry) / "MLmodel").is_file()


def test_artifacts_of_a_run_are_found(registry, resolve, tmp_path):
    import mlflow

    client = mlflow.MlflowClient(registry)
    run = client.create_run(client.create_experiment("e", artifact_location=str(tmp_path / "artifacts")))
    client.log_artifact(run.info.run_id, str(tmp_path / "saved" / "1" / "MLmodel"), "out/model")
    assert (resolve(f"runs:/{run.info.run_id}/out/model", registry) / "MLmodel").read_text() == "version 1"


def test_a_model_that_mlflow_3_logged_is_found_by_its_id_and_by_its_version(registry, resolve, tmp_path, monkeypatch):
    import mlflow

    # The file store looks a logged model up by MLflow's own address, whoever asks.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry)

    client = mlflow.MlflowClient(registry, registry_uri=registry)
    experiment = client.create_experiment("logged", artifact_location=str(tmp_path / "artifacts"))
    logged = client.create_logged_model(experiment, name="fresh")
    place = Path(logged.artifact_location.removeprefix("file://"))
    place.mkdir(parents=True)
    (place / "MLmodel").write_text("logged")
    assert (resolve(f"models:/{logged.model_id}", registry) / "MLmodel").read_text() == "logged"
    client.create_registered_model("r")
    client.create_model_version("r", str(place), model_id=logged.model_id)
    assert (resolve("azureml:r:1", registry) / "MLmodel").read_text() == "logged"


def test_without_an_address_mlflow_uses_its_own(registry, resolve, monkeypatch):
    import mlflow

    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry)
    before = mlflow.get_tracking_uri()
    assert (resolve("models:/m/3", None) / "MLmodel").read_text() == "version 3"
    assert mlflow.get_tracking_uri() == before


def test_without_any_address_nothing_is_made_in_the_working_folder(quiet, resolve, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    working = tmp_path / "working"
    working.mkdir()
    monkeypatch.chdir(working)
    with pytest.raises(ModelNotFound, match="MLFLOW_TRACKING_URI names none; set it, or give the model's path"):
        resolve("models:/m/1", None)
    assert list(working.iterdir()) == []


# -- an HTTP server -------------------------------------------------------------------------------------------------


class Artifacts(BaseHTTPRequestHandler):
    """MLflow's artifact proxy, as far as one folder with one file needs it."""

    def do_GET(self):
        prefix = "/api/2.0/mlflow-artifacts/artifacts"
        if self.path.startswith(f"{prefix}?path=models%2Fgood") or self.path.startswith(f"{prefix}?path=models/good"):
            body = json.dumps({"files": [{"path": "MLmodel", "is_dir": False, "file_size": 6}]}).encode()
        elif self.path == f"{prefix}/models/good/MLmodel":
            body = b"served"
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server(quiet):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Artifacts)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_artifacts_come_from_the_server_that_is_named(server, resolve):
    assert (resolve("mlflow-artifacts:/models/good", server) / "MLmodel").read_text() == "served"


# -- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "reference",
    ["models:/m/9", "models:/nobody/1", "models:/nobody/latest", "models:/m/Staging", "azureml:m@nobody", "runs:/x/y"],
)
def test_what_is_not_there_is_named_with_the_fix(registry, resolve, tmp_path, reference):
    with pytest.raises(ModelNotFound) as caught:
        resolve(reference, registry)
    assert caught.value.message == (
        f"model: {reference} is not in the registry {registry}; "
        "register it there, or give the model's path by --model PATH"
    )
    assert not (tmp_path / "models" / "here").exists()


def test_a_version_whose_files_are_gone_is_not_there(registry, resolve, tmp_path):
    (tmp_path / "saved" / "2").rename(tmp_path / "moved")
    with pytest.raises(ModelNotFound, match=r"model: azureml:m:2 is not in the registry"):
        resolve("azureml:m:2", registry)
    assert list((tmp_path / "models").iterdir()) == []


@pytest.mark.parametrize("reference", ["azureml://registries/r/models/m/versions/1", "m:1", "", "models:/m"])
def test_another_kind_of_reference_is_refused_before_mlflow_is_asked(resolve, reference):
    with pytest.raises(ModelNotFound, match=re.escape(f"model: {reference} is no reference that an MLflow registry")):
        resolve(reference, "http://127.0.0.1:9")


def test_a_server_that_is_not_there_is_named_without_its_password(quiet, resolve):
    with pytest.raises(StorageFailed) as caught:
        resolve("models:/m/1", "http://me:secret@127.0.0.1:9")
    assert "cannot be had from the registry http://***@127.0.0.1:9: " in caught.value.message
    assert "secret" not in caught.value.message
    assert "\n" not in caught.value.message


def test_a_store_that_this_mlflow_cannot_open_is_a_failure_of_the_store(quiet, resolve):
    with pytest.raises(
        StorageFailed, match=r"cannot be had from the registry nonsense://x: .*; set MLFLOW_TRACKING_URI"
    ):
        resolve("models:/m/1", "nonsense://x")


def test_a_destination_that_cannot_be_written_is_a_failure_of_the_store(registry, resolve, tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "here").write_text("a file in the way")
    with pytest.raises(StorageFailed, match=r"cannot be had from the registry .*File exists"):
        resolve("models:/m/1", registry)


def test_without_mlflow_the_extra_is_named(resolve, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name.split(".")[0] == "mlflow":
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"pip install 'gristmill\[mlflow\]'"):
        resolve("models:/m/1", None)
