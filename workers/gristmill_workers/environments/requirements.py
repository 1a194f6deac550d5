"""Requirement files as pip reads them, made flat: what they include is in place, their paths are absolute.

A deployment's requirements come as lines with a folder; `-r` and `-c` of theirs are files there. What comes out can
be given to uv from any folder, compared with what is installed, and hashed: two deployments that ask the same have
the same lines.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from gristmill.errors import EnvironmentFailed

#: Azure's own packages that scripts need there and not here.
SKIPPED: Final = frozenset({"azureml-core", "azureml-dataset-runtime"})

#: Options that uv reads in a requirements file as pip does, by every way of writing them.
_KEPT: Final = {
    "-i": "--index-url",
    "--pypi-url": "--index-url",
    "-f": "--find-links",
    **{name: name for name in ("--index-url", "--extra-index-url", "--find-links", "--no-index")},
    **{name: name for name in ("--no-binary", "--only-binary")},
}

#: Options that uv takes on its command line only; what they are called there.
_FLAGS: Final = {
    "--pre": "--prerelease=allow",
    "--trusted-host": "--allow-insecure-host",
    "--require-hashes": "--require-hashes",
}

#: Files that include one another deeper than this go round in a circle.
_DEPTH: Final = 20

_COMMENT: Final = re.compile(r"(^|\s)#.*$")
_EXTRAS: Final = re.compile(r"\[[\w\s,.-]*\]$")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line that uv is given."""

    #: As it is given.
    text: str
    #: None: an option, or a path or an address without a name.
    requirement: Requirement | None = None
    #: Whether it only bounds what others ask for.
    constraint: bool = False
    #: Whether it is an option of the file, not something to install.
    option: bool = False
    #: Hash of the file or folder of this machine that it names.
    content: str = ""

    @property
    def name(self) -> str:
        """The package's name in its normal form; "" where the line names none."""
        return canonicalize_name(self.requirement.name) if self.requirement else ""


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """Everything that requirement files ask for."""

    lines: tuple[Line, ...] = ()
    #: Arguments for uv's command line.
    flags: tuple[str, ...] = ()
    #: What was passed over, as it was written.
    skipped: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """Normal names of the packages to install."""
        return frozenset(line.name for line in self.lines if line.name and not line.constraint)


#: Nothing is asked for.
NO_REQUIREMENTS: Final = Requirements()


def read_requirements(lines: Iterable[str], folder: Path, source: str) -> Requirements:
    """Return what lines of a requirements file ask for, with all that they include.

    Args:
        lines: The lines.
        folder: Where their relative paths begin.
        source: Where they stand, for messages.

    Raises:
        EnvironmentFailed: a line cannot be read, or a file that it names is missing.

    """
    reader = _Reader()
    reader.read(lines, folder, source, constraint=False, depth=0)
    return Requirements(lines=tuple(reader.lines), flags=tuple(reader.flags), skipped=tuple(reader.skipped))


class _Reader:
    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.flags: list[str] = []
        self.skipped: list[str] = []

    def read(self, lines: Iterable[str], folder: Path, source: str, *, constraint: bool, depth: int) -> None:
        if depth > _DEPTH:
            raise EnvironmentFailed(f"{source}: requirement files include one another in a circle; take one -r out")
        for text in _logical(lines):
            if text.startswith("-"):
                self._option(text, folder, source, constraint=constraint, depth=depth)
            else:
                self._requirement(text, folder, source, constraint=constraint)

    def _option(self, text: str, folder: Path, source: str, *, constraint: bool, depth: int) -> None:
        name, value = _split_option(text)
        if name in ("-r", "--requirement", "-c", "--constraint"):
            path = folder / value
            bound = constraint or name in ("-c", "--constraint")
            self.read(
                _file_lines(path, text, source), path.parent, f"{source}: {value}", constraint=bound, depth=depth + 1
            )
        elif name in ("-e", "--editable"):
            self.lines.append(_place(value, folder, source, prefix="-e "))
        elif name in _KEPT:
            kept = _KEPT[name]
            local = kept == "--find-links" and "://" not in value and not value.startswith("${")
            place = str(folder / value) if local else value
            self.lines.append(Line(text=f"{kept} {place}".strip(), option=True))
        elif name in _FLAGS:
            self.flags += [_FLAGS[name], *([value] if value else [])]
        else:
            self.skipped.append(text)

    def _requirement(self, text: str, folder: Path, source: str, *, constraint: bool) -> None:
        bare = re.split(r"\s--", text, maxsplit=1)[0].strip()
        try:
            requirement = Requirement(bare)
        except InvalidRequirement:
            self.lines.append(_place(text, folder, source))
            return
        if canonicalize_name(requirement.name) in SKIPPED:
            self.skipped.append(bare)
        else:
            self.lines.append(_named(requirement, text[len(bare) :], constraint=constraint))


def _named(requirement: Requirement, options: str, *, constraint: bool) -> Line:
    """Return the line of a requirement with a name, written in the one normal way."""
    requirement.name = canonicalize_name(requirement.name)
    file = Path(unquote((requirement.url or "").removeprefix("file://")))
    content = _content(file) if (requirement.url or "").startswith("file:///") and file.exists() else ""
    text = " ".join([str(requirement), *options.split()])
    return Line(text=text, requirement=requirement, constraint=constraint, content=content)


def _logical(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines without comments and empty ones; a line that ends with a backslash goes on in the next."""
    for line in re.sub(r"\\\r?\n", " ", "\n".join(lines)).splitlines():
        text = _COMMENT.sub("", line).strip()
        if text:
            yield text


def _split_option(text: str) -> tuple[str, str]:
    """Return an option's name and value: `--name value`, `--name=value`, `-r value`, `-rvalue`."""
    words = shlex.split(text)
    first = words[0]
    if first.startswith("--"):
        name, _, value = first.partition("=")
        return name, value or " ".join(words[1:])
    return first[:2], first[2:].removeprefix("=") or " ".join(words[1:])


def _file_lines(path: Path, text: str, source: str) -> list[str]:
    try:
        return path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        message = f"{source}: {text!r} names {path}, which cannot be read: {reason}; paths are relative to its own file"
        raise EnvironmentFailed(message) from error


def _place(text: str, folder: Path, source: str, prefix: str = "") -> Line:
    """Return the line of an address or a path, the latter made absolute."""
    if "://" in text and not text.startswith("file:"):
        return Line(text=prefix + text)
    extras = match[0] if (match := _EXTRAS.search(text)) else ""
    path = folder / text.removesuffix(extras).removeprefix("file://").removeprefix("file:")
    if not path.exists():
        example = re.sub(r"(?<![=<>!~])=(?!=)", "==", text)
        hint = f"did you mean {example}?" if example != text else "write name==version, or a path that exists"
        raise EnvironmentFailed(f"{source}: {text!r} is neither a requirement nor a path in {folder}; {hint}")
    return Line(text=f"{prefix}{path.resolve()}{extras}", content=_content(path))


def _content(path: Path) -> str:
    """Return a hash of a file, or of a folder's files with their names."""
    digest = hashlib.sha256()
    for file in [path] if path.is_file() else sorted(_sources(path)):
        digest.update(os.fsencode(file.relative_to(path)) + b"\0")
        try:
            with file.open("rb") as stream:
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        except OSError as error:
            raise EnvironmentFailed(f"{file} cannot be read: {error.strerror}; it is to be installed") from error
    return digest.hexdigest()


def _sources(folder: Path) -> Iterator[Path]:
    """Yield a project's files, without what its builds and its version control leave there."""
    left = {"__pycache__", "build", "dist", "node_modules"}
    for place, folders, files in os.walk(folder):
        folders[:] = [
            name for name in folders if name not in left and name[0] != "." and not name.endswith(".egg-info")
        ]
        yield from (path for name in files if (path := Path(place, name)).is_file())
