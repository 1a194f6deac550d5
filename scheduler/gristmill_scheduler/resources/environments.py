"""Environments: versions of what a deployment's Python is made of, the content of conda and requirements files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from gristmill import spec
from gristmill.documents import load_environment
from gristmill.errors import Mistake
from gristmill_scheduler.resources.assets import LATEST, Assets
from gristmill_scheduler.resources.records import Body


class Environments(Assets):
    """The environments of a workspace."""

    collection: ClassVar[str] = "environments"
    word: ClassVar[str] = "environment"
    content: ClassVar[tuple[str, ...]] = ("image", "conda_file", "requirements_file", "build")

    def _body(self, name: str, version: str, document: Mapping[str, Any]) -> Body:
        return {"document": load_environment(document, name=name, version=version, local=False)}

    def resolved(self, name: str, version: str) -> spec.Environment:
        """Return what a version (or a label, or "" for the latest one) holds, with its own reference.

        Raises:
            Mistake: it is one that is built as a container.
            ResourceNotFound: it is not there.

        """
        if version in ("", LATEST):
            version = str(self.labelled(name, LATEST).document["version"])
        document = self.record(name, version).document
        if "build" in document:
            raise Mistake(
                f"environment: azureml:{name}:{version} is built as a container, and Gristmill builds none; give one "
                "with a conda_file or an image"
            )
        lines = document.get("requirements_file")
        return spec.Environment(
            reference=f"azureml:{name}:{version}",
            name=name,
            version=version,
            image=document.get("image", ""),
            conda=document.get("conda_file"),
            requirements=None if lines is None else tuple(lines),
        )
