"""From a document to `spec.Deployment`, whole: every fault of it is found before anything is refused."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gristmill import spec
from gristmill.deployment import forms, messages
from gristmill.deployment.environments import read_environment
from gristmill.deployment.models import check_no_code, read_model
from gristmill.deployment.nodes import Node, Unreadable, from_python
from gristmill.deployment.outputs import check_settings, output_settings
from gristmill.deployment.reading import parse, read_text
from gristmill.deployment.report import Report
from gristmill.deployment.schema import ROOT
from gristmill.deployment.scoring_script import read_code
from gristmill.deployment.sections import Given
from gristmill.errors import InvalidDeployment


def load_deployment(
    path: Path, *, overrides: Sequence[str] = (), model: str | None = None, require_names: bool = False
) -> spec.Deployment:
    """Return the deployment that a YAML file describes (Azure ML CLI v2, batch deployments of models).

    Paths in the file are relative to its folder. `overrides` are `--set` texts ("settings.mini_batch_size=50"), applied
    before anything is checked. `model` is a path, a URL or a reference that stands in for the file's model (a relative
    path is relative to the working folder); the file's `model.type` still holds. `require_names` makes `name` and
    `endpoint_name` required, as they are on a cluster.

    Raises:
        InvalidDeployment: the file cannot be used; it lists every fault with field and line.

    """
    report = Report()
    try:
        root = parse(read_text(path), report)
    except Unreadable as error:
        raise _refusal(str(path), error) from None
    build = Building(folder=os.path.abspath(path.parent), model=model)  # noqa: PTH100 - links stay
    return _closed(build, root, report, source=str(path), overrides=overrides, require_names=require_names)


def build_deployment(
    document: Mapping[str, Any],
    *,
    source: str,
    folder: Path | None,
    overrides: Sequence[str] = (),
    model: str | None = None,
    friendly: bool = False,
    require_names: bool = False,
    check_script: bool = True,
) -> spec.Deployment:
    """Return the deployment that a mapping describes; its keys are those of the YAML file.

    `source` names the document in messages; relative paths in it are relative to `folder`. Without a folder its paths
    are absolute or addresses, perhaps of another machine: they are kept as they are, and nothing is looked at. With
    `friendly` the output is CSV with a header and commas where the document does not say how it is written, and
    Azure's text form otherwise. Without `check_script` the scoring script is not looked at. The other
    parameters are those of `load_deployment`.

    Raises:
        InvalidDeployment: the document cannot be used; it lists every fault with its field.

    """
    try:
        root = from_python(document)
    except Unreadable as error:
        raise _refusal(source, error) from None
    if not isinstance(root.value, dict):
        raise _refusal(source, Unreadable(f"found {root.shown()} where a mapping is needed"))
    base = None if folder is None else os.path.abspath(folder)  # noqa: PTH100 - links stay
    build = Building(folder=base, model=model, friendly=friendly, check_script=check_script)
    return _closed(build, root, Report(), source=source, overrides=overrides, require_names=require_names)


def _refusal(source: str, error: Unreadable) -> InvalidDeployment:
    report = Report()
    report.unreadable(error)
    return InvalidDeployment(source, report.faults)


def _closed(
    build: Building, root: Node, report: Report, *, source: str, overrides: Sequence[str], require_names: bool
) -> spec.Deployment:
    current = forms.in_current_form(root, overrides, report)
    built = None if current is None else build.read(current, report, require_names=require_names)
    report.close(source)
    assert built is not None
    return built[1]


class Building:
    """One document on its way to a deployment."""

    def __init__(
        self, *, folder: str | None, model: str | None = None, friendly: bool = False, check_script: bool = True
    ) -> None:
        """Take the folder of relative paths, None where paths are kept; see `build_deployment` for the others."""
        self._folder = folder
        self._model = model
        self._friendly = friendly
        self._check_script = check_script

    def read(self, root: Node, report: Report, *, require_names: bool) -> tuple[Given, spec.Deployment] | None:
        """Return what a document in the current form says, and the deployment; None: it is of a foreign kind.

        The faults are in the report; what comes back may be used where there are none.
        """
        if forms.foreign(root, report):
            return None
        given = ROOT.read(root, report)
        if require_names:
            _require_names(given, report)
        return given, self._deployment(given, report)

    def _deployment(self, root: Given, report: Report) -> spec.Deployment:
        settings = root.section("settings")
        outer: dict[str, str] = root.get("environment_variables", {})
        return spec.Deployment(
            name=root.get("name", ""),
            endpoint_name=root.get("endpoint_name", ""),
            description=root.get("description", ""),
            tags=root.get("tags", {}),
            properties=root.get("properties", {}),
            model=self._scored(root, report),
            code_configuration=read_code(root, folder=self._folder, report=report, check=self._check_script),
            environment=read_environment(root, folder=self._folder, report=report),
            environment_variables={**outer, **settings.get("environment_variables", {})},
            compute=root.get("compute", "local"),
            instance_count=_instance_count(root, settings, report),
            settings=self._settings(root, settings, report),
        )

    def _scored(self, root: Given, report: Report) -> spec.Model | None:
        model = read_model(root, folder=self._folder, stand_in=self._model, report=report)
        if not root.has("code_configuration"):
            check_no_code(root, model, stand_in=self._model, report=report)
        return model

    def _settings(self, root: Given, settings: Given, report: Report) -> spec.Settings:
        has_code = root.has("code_configuration")
        check_settings(settings, has_code=has_code, report=report)
        retries = settings.section("retry_settings")
        default = spec.Settings()
        return spec.Settings(
            max_concurrency_per_instance=settings.get(
                "max_concurrency_per_instance", default.max_concurrency_per_instance
            ),
            mini_batch_size=settings.get("mini_batch_size", default.mini_batch_size),
            retry_settings=spec.RetrySettings(**retries.values),
            output_action=spec.OutputAction(settings.get("output_action", default.output_action)),
            error_threshold=_error_threshold(root, settings, report),
            logging_level=settings.get("logging_level", default.logging_level),
            mini_batch_bytes=settings.get("mini_batch_bytes", default.mini_batch_bytes),
            recursive=settings.get("recursive", default.recursive),
            rows_per_predict=settings.get("rows_per_predict", default.rows_per_predict),
            predict_per=spec.PredictPer(settings.get("predict_per", default.predict_per)),
            split_files=settings.get("split_files", default.split_files),
            split_bytes=settings.get("split_bytes", default.split_bytes),
            init_timeout=settings.get("init_timeout", default.init_timeout),
            isolate_failures=settings.get("isolate_failures", default.isolate_failures),
            speculate=settings.get("speculate", default.speculate),
            keep_scorers_seconds=settings.get("keep_scorers_seconds", default.keep_scorers_seconds),
            priority=spec.Priority(settings.get("priority", default.priority)),
            tuning=spec.Tuning(**settings.section("tuning").values),
            **output_settings(settings, has_code=has_code, friendly=self._friendly),
        )


def _require_names(root: Given, report: Report) -> None:
    for key in ("name", "endpoint_name"):
        if not root.has(key):
            report.place(f"{messages.MISSING} Give it in the file", field=key, line=root.node.line)


def _instance_count(root: Given, settings: Given, report: Report) -> int:
    if root.has("resources") and settings.has("instance_count"):
        message = f"{messages.INSTANCE_COUNT_TWICE} Give resources.instance_count alone"
        report.add(settings.at("instance_count"), message)
    return root.section("resources").get("instance_count", settings.get("instance_count", 1))


def _error_threshold(root: Given, settings: Given, report: Report) -> int:
    """Return the threshold; Azure tolerates it at the root, and two that differ would hide one of them."""
    outer: int | None = root.get("error_threshold", None)
    inner: int | None = settings.get("error_threshold", None)
    if outer is not None and inner is not None and outer != inner:
        report.add(
            root.at("error_threshold"), f"{outer} differs from settings.error_threshold {inner}; give one of them"
        )
    found = inner if inner is not None else outer
    return spec.Settings().error_threshold if found is None else found
