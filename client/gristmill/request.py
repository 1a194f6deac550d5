"""What a caller asks for, from words to the spec: deployment, input, output and name of one job."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, TypeVar

from gristmill import spec
from gristmill.addresses import absolute, job_folder, local_path, split_output
from gristmill.errors import InputNotFound, Mistake
from gristmill.names import check_name, make_name
from gristmill.unfinished import SPEC

E = TypeVar("E", bound=StrEnum)

#: The format that an output's suffix asks for, where no deployment says another.
_FORMATS: Final = {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet", ".pqt": "parquet"}

#: What `deployment` may be.
DeploymentLike = str | Path | Mapping[str, Any] | spec.Deployment


@dataclass(frozen=True, kw_only=True)
class Request:
    """The arguments of `gristmill.run`, as they were given."""

    deployment: DeploymentLike | None
    input: str
    output: str
    model: str | None = None
    scoring_script: str | None = None
    code: str | None = None
    environment: str | Mapping[str, Any] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    overrides: Sequence[str] = ()
    input_type: str | None = None
    environment_mode: str = spec.EnvironmentMode.AUTO
    overwrite: bool = False
    job_name: str | None = None

    def job(self) -> spec.Job:
        """Return the job that is asked for.

        Raises:
            Mistake: something of it cannot be used; `InvalidDeployment`, `InputNotFound` where it is that.

        """
        mode = _choice("env", spec.EnvironmentMode, self.environment_mode)
        folder, file_name = split_output(self.output)
        source = read_input(self.input, self.input_type)
        deployment = self._deployment(Path(file_name).suffix.lower())
        if file_name:
            deployment = _named_output(deployment, self.output, file_name)
        name = check_name(self.job_name) if self.job_name else make_name(deployment.name or self._stem())
        _check_unused(folder, name)
        return spec.Job(
            name=name,
            # The node that is started for this job alone serves a compute of this name.
            deployment=replace(deployment, compute=spec.own_compute(name)),
            input=source,
            output=spec.Output(folder=folder, overwrite=self.overwrite),
            environment_mode=mode,
            submitted=time.time(),
        )

    def _deployment(self, suffix: str) -> spec.Deployment:
        given, model = self.deployment, None if self.model is None else str(self.model)
        if given is None:
            return self._assembled(model, suffix)
        self._refuse_parts()
        if isinstance(given, spec.Deployment):
            return self._as_it_is(given)
        # Reading a deployment needs a YAML parser, which as an import would be half of `import gristmill`.
        from gristmill.deployment import build_deployment, load_deployment  # noqa: PLC0415

        overrides = [*flattened("settings", self.settings), *self.overrides]
        if isinstance(given, Mapping):
            folder = Path.cwd()
            return build_deployment(given, source="deployment", folder=folder, overrides=overrides, model=model)
        return load_deployment(Path(given), overrides=overrides, model=model)

    def _assembled(self, model: str | None, suffix: str) -> spec.Deployment:
        """Build a deployment from a model, a script and settings, with an output that a newcomer expects."""
        if model is None and self.scoring_script is None:
            raise Mistake("deployment: none is given; give a deployment's YAML file, a model, or a scoring script")
        from gristmill.deployment import build_deployment  # noqa: PLC0415 - as above

        settings = {"output_format": _FORMATS[suffix]} if suffix in _FORMATS else {}
        document: dict[str, Any] = {"type": "model", "settings": {**settings, **self.settings}}
        if self.scoring_script is not None:
            document["code_configuration"] = _code(self.scoring_script, self.code)
        if self.environment is not None:
            document["environment"] = _environment(self.environment)
        return build_deployment(
            document, source="job", folder=Path.cwd(), overrides=self.overrides, model=model, friendly=True
        )

    def _refuse_parts(self) -> None:
        for name in ("scoring_script", "code", "environment"):
            if getattr(self, name) is not None:
                raise Mistake(f"{name}: the deployment says that already; give {name} or a deployment, not both")

    def _as_it_is(self, deployment: spec.Deployment) -> spec.Deployment:
        if self.settings or self.overrides or self.model is not None:
            raise Mistake(
                "settings, overrides, model: they change a YAML file or a mapping; change the Deployment itself"
            )
        return deployment

    def _stem(self) -> str:
        given = self.deployment if isinstance(self.deployment, (str, Path)) else None
        return Path(given or self.scoring_script or self.model or "job").stem


def read_input(address: str, kind: str | None) -> spec.Input:
    """Return an input; without a kind, a file of this machine is `uri_file`, anything else `uri_folder`.

    Raises:
        InputNotFound: it is a path of this machine, and nothing is there.
        Mistake: the kind is none.

    """
    path = local_path(address)
    if not address or (path is not None and not path.exists()):
        raise InputNotFound(f"input: there is nothing at {path or repr(address)}; give a file, a folder or a URL")
    if kind is not None:
        return spec.Input(uri=absolute(address), type=_choice("input_type", spec.InputType, kind))
    is_file = path is not None and path.is_file()
    return spec.Input(uri=absolute(address), type=spec.InputType.URI_FILE if is_file else spec.InputType.URI_FOLDER)


def flattened(prefix: str, settings: Mapping[str, Any]) -> list[str]:
    """Return nested settings as `--set` texts."""
    texts: list[str] = []
    for key, value in settings.items():
        name = f"{prefix}.{key}"
        texts += flattened(name, value) if isinstance(value, Mapping) else [f"{name}={json.dumps(value)}"]
    return texts


def _choice(name: str, kind: type[E], value: str) -> E:
    try:
        return kind(value)
    except ValueError:
        raise Mistake(f"{name}: {value!r} is unknown; one of {', '.join(str(each.value) for each in kind)}") from None


def _code(script: str, code: str | None) -> dict[str, str]:
    if code is not None:
        return {"code": str(code), "scoring_script": str(script)}
    path = Path(script).expanduser().absolute()
    return {"code": str(path.parent), "scoring_script": path.name}


def _environment(given: str | Mapping[str, Any]) -> Any:
    """Return an environment as a deployment has it; a file's path is a conda file or a requirements.txt."""
    if isinstance(given, Mapping) or str(given).startswith("azureml:"):
        return given
    key = "requirements_file" if str(given).endswith(".txt") else "conda_file"
    return {key: str(given)}


def _named_output(deployment: spec.Deployment, output: str, name: str) -> spec.Deployment:
    if deployment.settings.output_action is spec.OutputAction.SUMMARY_ONLY:
        raise Mistake(f"output: {output} names a file, and output_action: summary_only writes none; give a folder")
    return replace(deployment, settings=replace(deployment.settings, output_file_name=name))


def _check_unused(output_folder: str, name: str) -> None:
    folder = local_path(job_folder(output_folder, name))
    if folder is not None and (folder / SPEC).exists():
        raise Mistake(f"job name: {name} is taken in {output_folder}; give another, or resume that job")
