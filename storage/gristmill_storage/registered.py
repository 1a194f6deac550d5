"""Registered versions of models, as a registry tells of them and as they are put into one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class About:
    """What is said of a version, which may change."""

    description: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    #: For programs.
    properties: Mapping[str, str] = field(default_factory=dict)
    #: Where it stands, in the user's own words.
    stage: str = ""
    #: Hidden from lists, and never the latest.
    archived: bool = False
    #: Who changed it last.
    by: str = ""


@dataclass(frozen=True, kw_only=True)
class Content:
    """What makes a version what it is, which never changes."""

    #: Address of its file or folder, whose last name is the model's own: what AZUREML_MODEL_DIR holds.
    source: str
    #: `custom_model`, `mlflow_model` or `triton_model`.
    type: str
    #: The address as the user gave it, which may be one that only the server understands.
    path: str
    #: The run that made it, where one did.
    run: str = ""


@dataclass(frozen=True, kw_only=True)
class Registered:
    """A version."""

    name: str
    version: str
    content: Content
    about: About
    created_by: str
    #: ms since 1970.
    created: int
    #: Likewise; grows with every change that is made through `Registry`.
    modified: int
    #: MLflow's own number of it: another than `version` where somebody asked for that one.
    number: int
    #: The labels that lead to it, `latest` apart.
    aliases: tuple[str, ...] = ()

    @property
    def age(self) -> tuple[int, int]:
        """What sorts versions by when they were created."""
        return self.created, self.number
