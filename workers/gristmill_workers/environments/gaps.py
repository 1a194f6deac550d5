"""What old packages did not know when they were released: the later versions of others that break them.

A deployment of some years ago pins what it uses and not what that needs, and worked then. Installed today by the same
file it gets a numpy or a protobuf that its packages were not built for, and dies on import. Each line here is such a
break, known and for good; a package that the deployment itself asks for is left to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from packaging.version import InvalidVersion, Version

from gristmill_workers.environments.requirements import Requirements

#: Package, the first version of it that is not concerned, and what the versions before need.
_GAPS: Final = (
    ("scikit-learn", Version("1.0"), "numpy<1.24"),
    ("pandas", Version("2.2.2"), "numpy<2"),
    ("scikit-learn", Version("1.4.2"), "numpy<2"),
    ("torch", Version("2.3"), "numpy<2"),
    ("mlflow", Version("1.27"), "protobuf<3.21"),
    ("mlflow-skinny", Version("1.27"), "protobuf<3.21"),
)


def bounds(requirements: Requirements) -> Iterator[tuple[str, str]]:
    """Yield what is to be bounded beyond what is asked for, and the pinned requirement that is the reason."""
    bounded = set(requirements.names)
    for package, mended, bound in _GAPS:
        other = bound.partition("<")[0]
        reason = next((text for text, version in _pins(requirements, package) if version < mended), None)
        if reason and other not in bounded:
            bounded.add(other)
            yield bound, reason


def _pins(requirements: Requirements, package: str) -> Iterator[tuple[str, Version]]:
    """Yield the lines that pin a package, each with its version."""
    for line in requirements.lines:
        if line.requirement is None or line.name != package:
            continue
        for specifier in line.requirement.specifier:
            try:
                if specifier.operator in ("==", "==="):
                    yield str(line.requirement), Version(specifier.version.removesuffix(".*"))
            except InvalidVersion:
                continue
