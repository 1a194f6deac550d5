"""From a deployment's document to what nodes are given: every reference pinned, every address resolved, all checked.

The document keeps its addresses as they were given (`upload:<tree>`), and names versions where it said `@latest`. The
spec has what nodes open, and the content of a registered environment.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from gristmill import spec
from gristmill.deployment import build_deployment
from gristmill.deployment.messages import SCRIPT_UNREADABLE
from gristmill.deployment.references import environment_rule, model_reference
from gristmill.documents import load_deployment_document
from gristmill.errors import Mistake, NotFound
from gristmill_scheduler.resources.environments import Environments
from gristmill_scheduler.resources.places import is_datastore
from gristmill_scheduler.resources.references import References
from gristmill_storage.files import is_local, open_store
from gristmill_storage.reach import Reach
from gristmill_storage.store import shown

#: Gives a model's reference a version that never changes: azureml:m@latest -> azureml:m:3.
PinModel = Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A deployment that was checked whole."""

    #: In the current form, references pinned.
    document: dict[str, Any]
    deployment: spec.Deployment


class Preparation:
    """Makes deployments ready to be stored."""

    def __init__(
        self,
        references: References,
        environments: Environments,
        pin_model: PinModel | None,
        reach: Reach | None = None,
    ) -> None:
        """Take what resolves addresses, environments, models (None: no registry), and where addresses may lead."""
        self._references = references
        self._environments = environments
        self._pin_model = pin_model
        self._reach = reach

    def prepare(self, given: Mapping[str, Any], *, endpoint: str, name: str, check_script: bool = True) -> Prepared:
        """Return a deployment ready to be stored; without `check_script` its scoring script is not looked at.

        Raises:
            Forbidden: a path of this machine that requests may not name.
            InvalidDeployment: the document cannot be used; it lists every fault.
            Mistake: an address cannot be used.
            ResourceNotFound: something that it names is not there.

        """
        plain = {key: value for key, value in given.items() if key not in ("id", "version")}
        document = load_deployment_document(plain, name=name, endpoint_name=endpoint, local=False)
        document, environment = self._with_environment(_one_threshold(document))
        document = self._with_model(document)
        deployment = self._built(document, f"deployment {name}", check_script=check_script)
        found = environment or deployment.environment
        # Relative paths in an environment's files mean nothing on another machine.
        found = found and replace(found, folder="")
        return Prepared(document=document, deployment=replace(deployment, environment=found))

    def check_registry(self, text: str) -> None:
        """Make sure that a model is found by its reference.

        Raises:
            Mistake: it names a model of a registry, and there is none.

        """
        if self._pin_model is None and is_registered(text):
            raise Mistake(
                f"model {text}: the server has no registry of models; give model.path a folder, or start the server "
                "with MLFLOW_TRACKING_URI (gristmill up has one of its own with gristmill[registry] installed)"
            )

    def _with_environment(self, document: dict[str, Any]) -> tuple[dict[str, Any], spec.Environment | None]:
        """Return the document with its registered environment's version, and that environment's content."""
        text = document.get("environment")
        if not isinstance(text, str) or "registries/" in text:
            return document, None
        reference = environment_rule(text)
        found = self._environments.resolved(reference.name, reference.version)
        return {**document, "environment": found.reference}, found

    def _with_model(self, document: dict[str, Any]) -> dict[str, Any]:
        """Return the document with its registered model's version."""
        model = document.get("model")
        if isinstance(model, str):
            return {**document, "model": self._pinned(model)}
        if isinstance(model, dict) and is_registered(model["path"]):
            return {**document, "model": {**model, "path": self._pinned(model["path"])}}
        return document

    def _pinned(self, text: str) -> str:
        self.check_registry(text)
        reference = model_reference(text)
        if self._pin_model is None or reference is None or not reference.name:
            return text
        return self._pin_model(text)

    def _built(self, document: Mapping[str, Any], source: str, *, check_script: bool) -> spec.Deployment:
        """Return the spec of a document, its files looked at wherever they are."""
        model = document.get("model")
        if isinstance(model, dict) and not is_registered(model["path"]):
            model = {**model, "path": self._references.uri(model["path"], kind="model").url}
            document = {**document, "model": model}
        code = document.get("code_configuration")
        if code is None:
            return build_deployment(document, source=source, folder=Path("/"))
        url = self._references.uri(code["code"], kind="code").url
        with tempfile.TemporaryDirectory(prefix="gristmill-script-") as scratch:
            folder = url if is_local(url) else scratch
            if folder is scratch and check_script:
                _fetch(url, code["scoring_script"], Path(scratch), self._reach)
            there = {**document, "code_configuration": {**code, "code": folder}}
            built = build_deployment(there, source=source, folder=Path("/"), check_script=check_script)
        assert built.code_configuration is not None
        return replace(built, code_configuration=replace(built.code_configuration, code=url))


def is_registered(text: str) -> bool:
    """Return whether a model's path names something in a registry, and no place."""
    return not is_datastore(text) and model_reference(text) is not None


def _fetch(url: str, script: str, folder: Path, reach: Reach | None) -> None:
    """Copy the one file that is read before a job starts, the scoring script, to a folder of this machine."""
    path = PurePosixPath(script)
    if path.is_absolute() or ".." in path.parts:
        return  # refused where the document is built, with the words for it
    try:
        data = open_store(url, reach=reach).read(str(path))
    except NotFound:
        sentence = SCRIPT_UNREADABLE.format(script=shown(script))
        raise Mistake(f"code_configuration.scoring_script: {sentence} There is no such file in {url}") from None
    place = folder / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


def _one_threshold(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document whose error_threshold stands in one place, under settings."""
    if "error_threshold" not in document:
        return document
    rest = {key: value for key, value in document.items() if key != "error_threshold"}
    settings = {"error_threshold": document["error_threshold"], **document.get("settings", {})}
    return {**rest, "settings": settings}
