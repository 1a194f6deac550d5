from __future__ import annotations

from pathlib import Path

import pytest

from gristmill import spec
from gristmill.errors import Mistake, ModelNotFound
from gristmill.settings import ProcessSettings
from gristmill_storage.files import open_store
from gristmill_storage.reach import Reach
from gristmill_workers.fetching import CODE, MODEL, fetched
from gristmill_workers.models import prepare_model
from gristmill_workers.preparation import prepare_code

SCRIPT = spec.CodeConfiguration(code="/code", scoring_script="score.py")


@pytest.fixture
def settings(tmp_path) -> ProcessSettings:
    return ProcessSettings.read({"GRISTMILL_CACHE": str(tmp_path / "cache")})


@pytest.fixture
def remote(request):
    """A store that is not of this machine's files, with a folder, and another whose name begins like it."""
    store = open_store(f"memory://{request.node.name}")
    store.create("models/model/weights.pt", b"one")
    store.create("models/model/deep/labels.txt", b"labels")
    store.create("models/model2/other", b"other")
    return store


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_is_fetched_once_for_all_jobs(remote, settings):
    log: list[str] = []
    for url in (f"{remote.url}/models/model/", f"{remote.url}/models/model"):
        path = fetched(url, MODEL, settings, log.append)
        assert path.name == "model"
        assert files(path) == {"weights.pt": b"one", "deep/labels.txt": b"labels"}
    assert len(log) == 1
    assert "2 files, 9 bytes" in log[0]


def test_a_file_is_fetched(remote, settings):
    path = fetched(f"{remote.url}/models/model/weights.pt", MODEL, settings, print)
    assert (path.name, path.read_bytes()) == ("weights.pt", b"one")


def test_a_fetched_model_is_in_the_model_dir_under_its_own_name(remote, settings, tmp_path):
    model = spec.Model(path=f"{remote.url}/models/model")
    deployment = spec.Deployment(model=model, code_configuration=SCRIPT)
    folder = prepare_model(deployment, scratch=tmp_path / "scratch", settings=settings, log=print).azureml_model_dir
    assert sorted(files(folder)) == ["model/deep/labels.txt", "model/weights.pt"]


def test_another_model_of_the_same_size_at_the_same_url_is_fetched_anew(remote, settings):
    url = f"{remote.url}/models/model"
    first = fetched(url, MODEL, settings, print)
    remote.replace("models/model/weights.pt", b"two")
    assert (fetched(url, MODEL, settings, print) / "weights.pt").read_bytes() == b"two"
    assert (first / "weights.pt").read_bytes() == b"one"


def test_what_an_interrupted_fetch_left_is_cleared(remote, settings):
    url = f"{remote.url}/models/model"
    kept = fetched(url, MODEL, settings, print).parent
    (kept / "model" / "half").write_text("x")
    kept.rename(kept.with_name(kept.name + ".new"))
    assert sorted(files(fetched(url, MODEL, settings, print))) == ["deep/labels.txt", "weights.pt"]
    assert not kept.with_name(kept.name + ".new").exists()


def test_nothing_at_a_url_is_said(remote, settings):
    with pytest.raises(ModelNotFound, match=r"model.path: there is nothing at memory://.*/models/gone"):
        fetched(f"{remote.url}/models/gone", MODEL, settings, print)


# -- code -----------------------------------------------------------------------------------------------------------


def coded(code: str) -> spec.Deployment:
    return spec.Deployment(code_configuration=spec.CodeConfiguration(code=code, scoring_script="score.py"))


def test_code_at_a_url_is_fetched_once_for_all_jobs(remote, settings, tmp_path):
    remote.create("code/score.py", b"import lib")
    remote.create("code/lib/__init__.py", b"")
    log: list[str] = []
    first, second = (prepare_code(coded(f"{remote.url}/code"), settings=settings, log=log.append) for _ in range(2))
    assert first == second
    assert first.is_relative_to(tmp_path / "cache" / "code")
    assert files(first) == {"score.py": b"import lib", "lib/__init__.py": b""}
    assert [line.split(":")[0] for line in log] == ["fetching the code memory"]


def test_code_that_changed_at_its_address_is_fetched_anew_wherever_the_change_is(remote, settings):
    line, body = b"x = 1\n", b"#" * (3 * MODEL.probe)
    remote.create("code/score.py", body + line + body)
    first = fetched(f"{remote.url}/code", CODE, settings, print)
    remote.replace("code/score.py", body + b"x = 2\n" + body)
    second = fetched(f"{remote.url}/code", CODE, settings, print)
    assert [b"x = 1" in files(path)["score.py"] for path in (first, second)] == [True, False]


def test_code_may_be_all_that_a_store_holds(settings, request):
    store = open_store(f"memory://{request.node.name}")
    store.create("score.py", b"here")
    assert files(fetched(store.url, CODE, settings, print)) == {"score.py": b"here"}


def test_code_of_this_machine_stays_where_it_is(settings, tmp_path):
    for given in (str(tmp_path), tmp_path.as_uri()):
        assert prepare_code(coded(given), settings=settings, log=print) == tmp_path
    assert prepare_code(spec.Deployment(), settings=settings, log=print) is None
    assert not (tmp_path / "cache").exists()


def test_no_code_at_a_url_is_said(settings, remote):
    with pytest.raises(Mistake, match=r"^code_configuration.code: there is nothing at memory://.*/gone; give"):
        prepare_code(coded(f"{remote.url}/gone"), settings=settings, log=print)


def test_code_and_models_of_a_servers_job_are_not_fetched_from_its_own_network(settings, tmp_path: Path) -> None:
    with pytest.raises(Mistake, match="leads to a loopback address"):
        prepare_code(coded("http://localhost:1/code"), settings=settings, log=print, reach=Reach())
    deployment = spec.Deployment(
        model=spec.Model(path="http://127.0.0.1:1/model.bin"), code_configuration=coded("/c").code_configuration
    )
    with pytest.raises(Mistake, match="leads to a loopback address"):
        prepare_model(deployment, scratch=tmp_path, settings=settings, log=print, reach=Reach())
