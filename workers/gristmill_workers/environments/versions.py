"""Python versions as deployments ask for them, in conda's and in pip's way of writing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import Version

from gristmill.errors import EnvironmentFailed

#: The oldest Python that a scorer runs on.
OLDEST: Final = Version("3.8")

#: One clause of a version specification: operator, version, a star; conda's build string may follow.
_CLAUSE: Final = re.compile(r"(===|==|~=|!=|>=|<=|=|>|<)?\s*(\d+(?:\.\d+)*)(\.?\*)?(?:[=\s]\s*[\w.*]+)?$")


@dataclass(frozen=True, kw_only=True)
class PythonWish:
    """A Python version that was asked for."""

    #: As it was written, for messages: "python=3.8.5".
    text: str
    #: Alternatives, one of which a version must satisfy; none: any version will do.
    ranges: tuple[SpecifierSet, ...] = ()
    #: The exact version that was named: preferred, where another patch of its minor version will do as well.
    exact: Version | None = None

    def accepts(self, version: Version) -> bool:
        """Return whether a version is what was asked for; of an exact one, the minor version is enough."""
        return not self.ranges or any(each.contains(version, prereleases=True) for each in self.ranges)

    def too_old(self) -> bool:
        """Return whether only Pythons are asked for that a scorer does not run on."""
        newer = (Version(f"3.{minor}.{patch}") for minor in range(OLDEST.minor, 100) for patch in range(40))
        return not any(map(self.accepts, newer))


#: No version was asked for.
ANY_PYTHON: Final = PythonWish(text="python")


def python_wish(specification: str, source: str) -> PythonWish:
    """Return the wish behind what follows `python` in a conda file ("=3.8.5", ">=3.9,<3.11", " 3.8.*", "").

    Args:
        specification: The text after the name.
        source: Where it stands, for the message.

    Raises:
        EnvironmentFailed: it cannot be read.

    """
    rest = specification.strip()
    if not rest or rest == "*":
        return ANY_PYTHON
    text = f"python{specification}"
    ranges = tuple(_range(alternative, text, source) for alternative in rest.split("|"))
    exact = re.fullmatch(r"(?:=|==|===)?\s*(\d+\.\d+\.\d+)(?:[=\s].*)?", rest)
    return PythonWish(text=text, ranges=ranges, exact=Version(exact[1]) if exact else None)


def _range(text: str, whole: str, source: str) -> SpecifierSet:
    try:
        return SpecifierSet(",".join(_clause(clause.strip()) for clause in text.split(",")))
    except (ValueError, InvalidSpecifier) as error:
        message = f"{source}: {whole!r} is no Python version; write python=3.11 or python>=3.9,<3.12"
        raise EnvironmentFailed(message) from error


def _clause(text: str) -> str:
    """Return a conda clause in pip's way; an exact version is loosened to its minor version."""
    match = _CLAUSE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    operator, version, star = match[1] or "=", match[2], match[3]
    if operator in ("=", "==", "==="):
        return f"=={'.'.join(version.split('.')[:2])}.*"
    return f"{operator}{version}{'.*' if star and operator == '!=' else ''}"


def conda_specifier(specification: str) -> SpecifierSet:
    """Return a conda package's version in pip's way: `=1.1` is any 1.1, `==1.1` that one.

    Raises:
        ValueError: it has none, as with alternatives.

    """
    rest = specification.strip()
    return SpecifierSet(",".join(_package_clause(clause.strip()) for clause in rest.split(",")) if rest else "")


def _package_clause(text: str) -> str:
    match = _CLAUSE.fullmatch(text)
    if match is None:
        raise ValueError(text)
    operator, version, star = match[1] or "=", match[2], match[3]
    if operator == "=" or (operator == "==" and star):
        return f"=={version}.*"
    return f"{operator}{version}{'.*' if star and operator == '!=' else ''}"
