"""Deployments in the style of Azure's own samples, whole: what each key becomes."""

from __future__ import annotations

from gristmill import spec

MNIST_TORCH = """\
$schema: https://azuremlschemas.azureedge.net/latest/modelBatchDeployment.schema.json
name: mnist-torch-dpl
description: A deployment using Torch to solve the MNIST classification dataset.
endpoint_name: mnist-batch
type: model
model:
  name: mnist-classifier-torch
  path: model
code_configuration:
  code: code
  scoring_script: batch_driver.py
environment:
  name: batch-torch-py38
  image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04:latest
  conda_file: environment/conda.yaml
compute: azureml:batch-cluster
resources:
  instance_count: 1
settings:
  max_concurrency_per_instance: 2
  mini_batch_size: 10
  output_action: append_row
  output_file_name: predictions.csv
  retry_settings:
    max_retries: 3
    timeout: 30
  error_threshold: -1
  logging_level: info
"""

HEART_CLASSIFIER = """\
$schema: https://azuremlschemas.azureedge.net/latest/modelBatchDeployment.schema.json
endpoint_name: heart-classifier-batch
name: Classifier-XGBoost-MLflow
description: A heart condition classifier based on XGBoost
type: model
model: azureml:heart-classifier-mlflow@latest
compute: azureml:batch-cluster
resources:
  instance_count: 2
settings:
  max_concurrency_per_instance: 2
  mini_batch_size: 2
  output_action: append_row
  output_file_name: predictions.csv
  retry_settings:
    max_retries: 3
    timeout: 300
  error_threshold: -1
  logging_level: info
"""

CUSTOM_OUTPUT = """\
name: classifier-xgboost-custom
endpoint_name: heart-classifier-batch
type: model
model: azureml:heart-classifier@latest
environment:
  image: mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04:latest
  conda_file: environment/conda.yaml
code_configuration:
  code: code
  scoring_script: batch_driver.py
environment_variables:
  AZUREML_BI_TEXT_COLUMN: text
compute: azureml:batch-cluster
resources: {instance_count: 2}
settings:
  max_concurrency_per_instance: 2
  mini_batch_size: 2
  output_action: summary_only
  retry_settings: {max_retries: 3, timeout: 300}
  error_threshold: -1
  logging_level: info
  environment_variables:
    OPENAI_API_BASE: https://example.org
"""

FLAT_2022 = """\
$schema: https://azuremlschemas.azureedge.net/latest/batchDeployment.schema.json
name: nonmlflowdp
endpoint_name: mybatchedp
model:
  path: ./model/
code_configuration:
  code: ./code/
  scoring_script: batch_driver.py
environment:
  conda_file: ./environment/conda.yaml
  image: mcr.microsoft.com/azureml/openmpi3.1.2-ubuntu18.04:latest
compute: azureml:batch-cluster
resources:
  instance_count: 1
max_concurrency_per_instance: 2
mini_batch_size: 10
output_action: append_row
output_file_name: predictions.csv
retry_settings:
  max_retries: 3
  timeout: 30
error_threshold: -1
logging_level: info
"""


def test_a_torch_model_with_a_script(load, deployment_folder):
    deployment = load(MNIST_TORCH, require_names=True)
    assert deployment == spec.Deployment(
        name="mnist-torch-dpl",
        endpoint_name="mnist-batch",
        description="A deployment using Torch to solve the MNIST classification dataset.",
        model=spec.Model(
            path=str(deployment_folder / "model"), name="mnist-classifier-torch", type=spec.ModelType.CUSTOM
        ),
        code_configuration=spec.CodeConfiguration(
            code=str(deployment_folder / "code"), scoring_script="batch_driver.py"
        ),
        environment=spec.Environment(
            name="batch-torch-py38",
            image="mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu20.04:latest",
            conda=deployment.environment.conda,
            folder=str(deployment_folder / "environment"),
        ),
        compute="batch-cluster",
        settings=spec.Settings(max_concurrency_per_instance=2),
    )
    assert deployment.environment.conda["dependencies"][0] == "python=3.8.5"


def test_an_mlflow_model_without_a_script(load):
    assert load(HEART_CLASSIFIER, require_names=True) == spec.Deployment(
        name="classifier-xgboost-mlflow",
        endpoint_name="heart-classifier-batch",
        description="A heart condition classifier based on XGBoost",
        model=spec.Model(
            reference="azureml:heart-classifier-mlflow@latest", name="heart-classifier-mlflow", version="latest"
        ),
        compute="batch-cluster",
        instance_count=2,
        settings=spec.Settings(
            max_concurrency_per_instance=2,
            mini_batch_size=2,
            retry_settings=spec.RetrySettings(timeout=300),
            delimiter=",",
        ),
    )


def test_the_same_on_this_machine_with_a_local_model(load, deployment_folder):
    model = load(HEART_CLASSIFIER, model=str(deployment_folder / "mlflow")).model
    assert model == spec.Model(path=str(deployment_folder / "mlflow"), type=spec.ModelType.MLFLOW)


def test_a_script_that_writes_files_of_its_own(load):
    deployment = load(CUSTOM_OUTPUT, require_names=True)
    assert deployment.settings.output_action == spec.OutputAction.SUMMARY_ONLY
    expected = {"AZUREML_BI_TEXT_COLUMN": "text", "OPENAI_API_BASE": "https://example.org"}
    assert deployment.environment_variables == expected


def test_the_flat_form_of_2022(load):
    flat = load(FLAT_2022, require_names=True)
    assert flat.settings == load(MNIST_TORCH).settings
    assert flat.code_configuration == load(MNIST_TORCH).code_configuration
