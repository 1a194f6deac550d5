"""What every resource answers with: a document as users see it, and the version that an ETag names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, kw_only=True)
class Shown:
    """One resource, as it is shown."""

    #: Keys as in the YAML files, with `id`, `name`, `creation_context` and what else only the server knows.
    document: dict[str, Any]
    #: Version of the stored document: it grows with every change.
    version: int
    #: Whether this call made it.
    created: bool = False


#: What lists answer with; a class with a method `list` cannot name the type.
ShownList: TypeAlias = list[Shown]
