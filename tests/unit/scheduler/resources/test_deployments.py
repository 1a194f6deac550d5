from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from gristmill.errors import (
    Conflict,
    Forbidden,
    GristmillError,
    InvalidDeployment,
    Mistake,
    PreconditionFailed,
    ResourceNotFound,
)
from gristmill.spec import ModelType, OutputAction
from gristmill_scheduler.resources.assembly import Resources, make_resources
from gristmill_scheduler.resources.deployments import Deployments
from gristmill_storage.files import MemoryStore, open_store
from gristmill_storage.workspace import Workspace

Make = Callable[..., dict[str, Any]]
Upload = Callable[[Workspace, Path], str]


@pytest.fixture
def deployments(resources: Resources) -> Deployments:
    resources.endpoints.put("abc", {})
    return resources.deployments


def test_a_deployment_is_shown_with_every_default(deployments: Deployments, deployment: Make, root: Path) -> None:
    made = deployments.put("ABC", "One", deployment(description="x", settings={"mini_batch_size": 3}), by="ann")

    assert made.created
    assert made.document == {
        "id": "/batchEndpoints/abc/deployments/one",
        "name": "one",
        "endpoint_name": "abc",
        "description": "x",
        "tags": {},
        "properties": {},
        "type": "model",
        "model": {"path": f"{root}/model"},
        "code_configuration": {"code": f"{root}/code", "scoring_script": "score.py"},
        "environment_variables": {},
        "compute": "local",
        "error_threshold": -1,
        "resources": {"instance_count": 1},
        "settings": {
            "max_concurrency_per_instance": 1,
            "mini_batch_size": 3,
            "retry_settings": {"max_retries": 3, "timeout": 30},
            "output_action": "append_row",
            "output_file_name": "predictions.csv",
            "error_threshold": -1,
            "logging_level": "info",
        },
        "provisioning_state": "Succeeded",
        "version": 1,
        "creation_context": made.document["creation_context"],
    }
    assert deployments.get("abc", "ONE").document == made.document


def test_what_is_shown_can_be_given_back_changed(deployments: Deployments, deployment: Make) -> None:
    shown = deployments.put("abc", "one", deployment()).document
    shown["settings"]["error_threshold"] = 5
    again = deployments.put("abc", "one", shown, expected=1).document
    assert (again["error_threshold"], again["settings"]["error_threshold"], again["version"]) == (5, 5, 2)

    again["error_threshold"] = 7
    assert deployments.put("abc", "one", again).document["settings"]["error_threshold"] == 7
    with pytest.raises(PreconditionFailed):
        deployments.put("abc", "one", deployment(), expected=1)


@pytest.mark.parametrize(
    "settings",
    [
        {"output_action": "summary_only"},
        {"output_format": "jsonl"},
        {"output_format": "csv", "header": False, "delimiter": ";"},
        {"instance_count": 2, "environment_variables": {"A": "b"}},
        {"error_threshold": 3},
    ],
)
def test_any_settings_can_be_given_back(deployments: Deployments, deployment: Make, settings: dict[str, Any]) -> None:
    first = deployments.put("abc", "one", deployment(settings=settings)).document
    spec, _ = deployments.job_deployment("abc", "one")
    second = deployments.put("abc", "one", first).document

    assert {**second, "version": 1, "creation_context": 0} == {**first, "version": 1, "creation_context": 0}
    assert deployments.job_deployment("abc", "one")[0] == spec


def test_a_job_gets_what_nodes_open(deployments: Deployments, deployment: Make, root: Path) -> None:
    document = deployment(environment={"conda_file": {"dependencies": ["python=3.11"]}}, compute="azureml:local")
    deployments.put("abc", "one", document)
    spec, version = deployments.job_deployment("abc", "ONE")

    assert version == 1
    assert spec.name == "one"
    assert spec.endpoint_name == "abc"
    assert spec.model
    assert spec.code_configuration
    assert spec.environment
    assert (spec.model.path, spec.model.type) == (f"{root}/model", ModelType.CUSTOM)
    assert (spec.code_configuration.code, spec.code_configuration.scoring_script) == (f"{root}/code", "score.py")
    assert (spec.environment.conda, spec.environment.folder) == ({"dependencies": ["python=3.11"]}, "")


def test_uploads_are_kept_by_name_and_opened_by_address(
    local: Resources, root: Path, tmp_path: Path, upload: Upload
) -> None:
    workspace = local.deployments._workspace
    code, model = upload(workspace, root / "code"), upload(workspace, root / "model")
    local.endpoints.put("abc", {})
    made = local.deployments.put(
        "abc",
        "one",
        {"model": {"path": f"{model}/weights.bin"}, "code_configuration": {"code": code, "scoring_script": "score.py"}},
    )
    spec, _ = local.deployments.job_deployment("abc", "one")

    assert made.document["code_configuration"]["code"] == code
    assert spec.code_configuration
    assert spec.model
    assert (Path(spec.code_configuration.code) / "score.py").is_file()
    assert Path(spec.model.path).read_text() == "w"
    assert spec.model.path.startswith(f"{tmp_path}/workspace/uploads/")


def test_code_on_another_store_is_read_before_it_is_taken(
    deployments: Deployments, workspace: Workspace, deployment: Make, root: Path, upload: Upload
) -> None:
    url = "memory://test-code-on-another-store"
    remote = Workspace(MemoryStore(url))
    resources = make_resources(remote, allowed_roots=[root])
    resources.endpoints.put("abc", {})
    code = upload(remote, root / "code")

    resources.deployments.put("abc", "one", deployment(code_configuration={"code": code, "scoring_script": "score.py"}))
    spec, _ = resources.deployments.job_deployment("abc", "one")
    assert spec.code_configuration
    assert spec.code_configuration.code.startswith(f"{url}/uploads/")
    for script in ("other.py", "../score.py"):
        with pytest.raises(Mistake, match=r"scoring_script"):
            resources.deployments.put(
                "abc", "two", deployment(code_configuration={"code": code, "scoring_script": script})
            )


@pytest.mark.parametrize(
    ("keys", "error", "message"),
    [
        ({"code_configuration": {"code": "/etc", "scoring_script": "x.py"}}, Forbidden, "--allow-root"),
        ({"model": {"path": "/etc/passwd"}}, Forbidden, "--allow-root"),
        ({"model": {"path": "model"}}, InvalidDeployment, "model"),
        ({"model": "azureml:m"}, Mistake, "no registry"),
        ({"environment": "azureml:e:1"}, ResourceNotFound, "environment e:1"),
        ({"environment": {"conda_file": "conda.yml"}}, InvalidDeployment, "conda_file"),
        ({"compute": "azureml:gpu"}, ResourceNotFound, "compute gpu: there is none on this server"),
        ({"settings": {"mini_batch_size": 0}}, InvalidDeployment, "settings.mini_batch_size: 0 is out of range"),
        ({"settings": {"bogus": 1}, "colour": 2}, InvalidDeployment, "2 faults"),
        ({"type": "pipeline"}, InvalidDeployment, "pipeline"),
    ],
)
def test_the_server_checks_what_a_raw_client_sends(
    deployments: Deployments, deployment: Make, keys: dict[str, Any], error: type[GristmillError], message: str
) -> None:
    with pytest.raises(error, match=message):
        deployments.put("abc", "one", deployment(**keys))
    assert deployments.list("abc") == []


def test_a_script_is_looked_at(deployments: Deployments, deployment: Make, root: Path) -> None:
    (root / "code/bad.py").write_text("def init(:\n")
    for script, message in {"bad.py": "syntax errors in scoring script bad.py", "no.py": "Failed to open"}.items():
        with pytest.raises(InvalidDeployment, match=message):
            deployments.put(
                "abc",
                "one",
                deployment(code_configuration={"code": str(root / "code"), "scoring_script": script}),
            )


def test_the_flat_form_is_stored_in_the_current_one(deployments: Deployments, root: Path) -> None:
    made = deployments.put(
        "abc",
        "one",
        {
            "model": {"path": f"{root}/model"},
            "code_configuration": {"code": f"{root}/code", "scoring_script": "score.py"},
            "mini_batch_size": 7,
            "retry_settings": {"timeout": 5},
            "resources": {"instance_count": 2},
        },
    )

    assert made.document["settings"]["mini_batch_size"] == 7
    assert made.document["settings"]["retry_settings"] == {"max_retries": 3, "timeout": 5}
    assert made.document["resources"] == {"instance_count": 2}


@pytest.mark.parametrize("uploaded", [True, False])
def test_the_script_is_looked_at_unless_that_is_skipped(
    local: Resources, tmp_path: Path, root: Path, deployment: Make, upload: Upload, *, uploaded: bool
) -> None:
    local.endpoints.put("abc", {})
    deployments = local.deployments
    (root / "code" / "broken.py").write_text("def run(")
    workspace = Workspace(open_store(str(tmp_path / "workspace")))
    code = upload(workspace, root / "code") if uploaded else str(root / "code")
    for script in ("broken.py", "none.py"):
        document = deployment(code_configuration={"code": code, "scoring_script": script})
        with pytest.raises(Mistake, match=r"scoring script"):
            deployments.put("abc", "one", document)
        made = deployments.put("abc", "one", document, skip_script_validation=True)
        assert made.document["code_configuration"]["scoring_script"] == script
        code_configuration = deployments.job_deployment("abc", "one")[0].code_configuration
        assert code_configuration is not None
        assert code_configuration.scoring_script == script


@pytest.mark.parametrize("reference", ["models:/m/1", "azureml:m:1", "azureml:m@latest", "runs:/0a1b/model"])
def test_without_a_registry_no_reference_to_one_is_taken(
    resources: Resources, workspace: Workspace, root: Path, deployment: Make, reference: str
) -> None:
    resources.endpoints.put("abc", {})
    for model in (reference, {"path": reference}):
        with pytest.raises(Mistake, match=r"^model .*: the server has no registry of models; .*MLFLOW_TRACKING_URI"):
            resources.deployments.put("abc", "one", deployment(model=model))
    # It had one when the deployment was made.
    had = make_resources(workspace, allowed_roots=[root], pin_model=lambda text: text)
    had.deployments.put("abc", "one", deployment(model=reference))
    assert had.deployments.job_deployment("abc", "one")
    with pytest.raises(Mistake, match="the server has no registry of models"):
        resources.deployments.job_deployment("abc", "one")


def test_references_are_pinned_when_they_are_given(workspace: Workspace, root: Path, deployment: Make) -> None:
    resources = make_resources(
        workspace, allowed_roots=[root], pin_model=lambda text: text.replace("@latest", ":3").replace("latest", "3")
    )
    resources.endpoints.put("abc", {})
    resources.environments.add("e", {"conda_file": {"dependencies": ["python=3.11"]}})
    made = resources.deployments.put("abc", "one", deployment(model="azureml:m@latest", environment="azureml:e@latest"))
    resources.environments.add("e", {"conda_file": {"dependencies": ["python=3.12"]}})
    spec, _ = resources.deployments.job_deployment("abc", "one")

    assert (made.document["model"], made.document["environment"]) == ("azureml:m:3", "azureml:e:1")
    assert spec.model
    assert (spec.model.reference, spec.model.version) == ("azureml:m:3", "3")
    assert spec.environment
    assert spec.environment.conda == {"dependencies": ["python=3.11"]}
    assert spec.environment.reference == "azureml:e:1"
    resources.deployments.put("abc", "one", {**made.document, "environment": "azureml:e"})
    assert resources.deployments.get("abc", "one").document["environment"] == "azureml:e:2"
    typed = resources.deployments.put(
        "abc", "two", deployment(model={"path": "models:/m/latest", "type": "mlflow_model"})
    )
    assert typed.document["model"]["path"] == "models:/m/3"


def test_a_model_in_a_datastore_is_no_reference(resources: Resources, deployment: Make) -> None:
    resources.endpoints.put("abc", {})
    resources.datastores.put("box", {"type": "s3", "bucket": "b"})
    path = "azureml://subscriptions/s/resourcegroups/r/workspaces/w/datastores/box/paths/models/iris"
    resources.deployments.put("abc", "one", deployment(model={"path": path, "type": "custom_model"}))
    spec, _ = resources.deployments.job_deployment("abc", "one")

    assert spec.model
    assert (spec.model.path, spec.model.reference) == ("s3://b/models/iris", "")


def test_no_endpoint_has_more_than_twenty(deployments: Deployments, deployment: Make) -> None:
    def make(number: int) -> bool:
        try:
            return deployments.put("abc", f"d-{number}", deployment()).created
        except Conflict:
            return False

    for number in range(18):
        assert make(number)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(make, range(18, 24)))

    assert len(deployments.list("abc")) <= 20
    while len(deployments.list("abc")) < 20:
        assert make(100 + len(deployments.list("abc")))
    with pytest.raises(Conflict, match=r"endpoint abc: it has 20 deployments, and no endpoint has more"):
        deployments.put("abc", "one-more", deployment())
    assert not deployments.put("abc", "d-0", deployment()).created


def test_a_deployment_needs_its_endpoint_and_a_name(deployments: Deployments, deployment: Make) -> None:
    with pytest.raises(ResourceNotFound, match="endpoint xyz"):
        deployments.put("xyz", "one", deployment())
    with pytest.raises(Mistake, match="The name for a deployment must be at least 3"):
        deployments.put("abc", "d", deployment())
    with pytest.raises(ResourceNotFound, match="deployment one: there is none at endpoint abc"):
        deployments.get("abc", "one")
    with pytest.raises(ResourceNotFound, match="deployment one"):
        deployments.delete("abc", "one")


def test_jobs_are_routed_in_azures_words(resources: Resources, deployments: Deployments, deployment: Make) -> None:
    with pytest.raises(Mistake, match=r"^No deployment exists for this endpoint$"):
        deployments.route("abc", None)
    deployments.put("abc", "one", deployment())
    assert deployments.route("ABC", None) == "one"
    deployments.put("abc", "two", deployment())
    words = r"^No valid deployments to route to\. Please check .* header to route\. Set a default deployment or .*\.$"
    with pytest.raises(Mistake, match=words):
        deployments.route("abc", None)
    assert deployments.route("abc", "TWO") == "two"
    with pytest.raises(ResourceNotFound, match=r"^Deployment name Three not found for this endpoint$"):
        deployments.route("abc", "Three")
    deployments.put("abc", "two", deployment(), set_default=True)
    assert deployments.route("abc", None) == "two"
    assert resources.endpoints.get("abc").document["defaults"] == {"deployment_name": "two"}


def test_the_default_is_not_deleted(resources: Resources, deployments: Deployments, deployment: Make) -> None:
    for name in ("one", "two"):
        deployments.put("abc", name, deployment(), set_default=True)
    with pytest.raises(Conflict, match=r"deployment two: it is the default of endpoint abc; make another one"):
        deployments.delete("abc", "TWO")
    resources.endpoints.set_default("abc", "one")
    deployments.delete("abc", "Two")

    assert [each.document["name"] for each in deployments.list("abc")] == ["one"]


def test_a_job_changes_settings_for_itself(resources: Resources, deployments: Deployments, deployment: Make) -> None:
    resources.computes.put("c", {"max_instances": 3})
    deployments.put(
        "abc",
        "one",
        deployment(compute="c", environment_variables={"A": "1", "B": "2"}, settings={"output_file_name": "x.csv"}),
    )
    plain, _ = deployments.job_deployment("abc", "one")
    changed, version = deployments.job_deployment(
        "abc",
        "one",
        [
            "settings.mini_batch_size=4",
            "settings.retry_settings.max_retries=9",
            "resources.instance_count=3",
            "settings.environment_variables.B=3",
            "settings.error_threshold=2",
            'settings.logging_level="debug"',
        ],
    )

    assert version == 1
    assert (changed.settings.mini_batch_size, changed.settings.retry_settings.max_retries) == (4, 9)
    assert (changed.instance_count, changed.environment_variables) == (3, {"A": "1", "B": "3"})
    assert (changed.settings.error_threshold, changed.settings.logging_level) == (2, "debug")
    assert changed.settings.output_file_name == "x.csv"
    assert (changed.model, changed.code_configuration) == (plain.model, plain.code_configuration)
    assert deployments.job_deployment("abc", "one")[0] == plain
    summary, _ = deployments.job_deployment("abc", "one", ["settings.output_action=summary_only"])
    assert summary.settings.output_action is OutputAction.SUMMARY_ONLY


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("resources.instance_count=4", "instance_count: 4 is more than compute c has, max_instances 3"),
        ("settings.mini_batch_size=0", "mini_batch_size: 0 is out of range"),
        ("settings.bogus=0", "Unknown field"),
        ("model=azureml:other:1", "model: cannot be changed for one job"),
        ("compute=local", "compute: cannot be changed for one job"),
        ("nonsense", "nonsense"),
    ],
)
def test_what_a_job_cannot_change_is_refused(
    resources: Resources, deployments: Deployments, deployment: Make, override: str, message: str
) -> None:
    resources.computes.put("c", {"max_instances": 3})
    deployments.put("abc", "one", deployment(compute="c"))

    with pytest.raises(Mistake, match=message):
        deployments.job_deployment("abc", "one", [override])


def test_a_limit_that_was_lowered_holds_for_the_next_job(
    resources: Resources, deployments: Deployments, deployment: Make
) -> None:
    resources.computes.put("c", {"max_instances": 3})
    with pytest.raises(Mistake, match="instance_count: 4 is more"):
        deployments.put("abc", "one", deployment(compute="c", resources={"instance_count": 4}))
    deployments.put("abc", "one", deployment(compute="c", resources={"instance_count": 3}))
    resources.computes.put("c", {"max_instances": 2})

    with pytest.raises(Mistake, match="instance_count: 3 is more than compute c has, max_instances 2"):
        deployments.job_deployment("abc", "one")
    assert deployments.job_deployment("abc", "one", ["resources.instance_count=2"])[0].instance_count == 2


def test_a_model_without_a_script_can_be_changed_for_a_job(deployments: Deployments, root: Path) -> None:
    (root / "model/MLmodel").write_text("flavors: {python_function: {}}")
    deployments.put("abc", "one", {"model": {"path": f"{root}/model"}, "settings": {"rows_per_predict": 5}})
    spec, _ = deployments.job_deployment("abc", "one", ["settings.rows_per_predict=9"])

    assert spec.settings.rows_per_predict == 9
    assert spec.settings.delimiter == ","
    assert spec.code_configuration is None
