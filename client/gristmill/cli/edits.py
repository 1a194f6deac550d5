"""`--set`, `--add` and `--remove` on a document, with the paths and values of Azure's command line."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from gristmill.counts import counted
from gristmill.errors import Mistake

#: What Azure's command line answers, word for word: users search for it.
BENEATH_REFERENCE: Final = "Cannot use '--set' on properties defined by reference strings."

#: Mappings whose values are texts, so that a tag of `1.10` does not become 1.1.
_TEXTS: Final = frozenset({"tags", "properties", "environment_variables"})

_STEP: Final = re.compile(r"(?P<key>[^\[\]]*)(?P<places>(\[\d+\])*)")

Path = tuple[str | int, ...]


@dataclass(frozen=True, kw_only=True)
class Edits:
    """What a command line asks to change in a document."""

    #: `key.key=value` texts.
    put: Sequence[str] = ()
    #: For each `--add`: a path, then what is added (`key=value` words, or one text).
    add: Sequence[Sequence[str]] = ()
    #: For each `--remove`: a path, and perhaps a place in the list there.
    remove: Sequence[Sequence[str]] = ()
    #: Whether values stay the texts that they are.
    force_string: bool = False

    def __bool__(self) -> bool:
        """Return whether anything is to change."""
        return bool(self.put or self.add or self.remove)

    def applied(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return a changed copy.

        Raises:
            Mistake: a text is no edit, or the document has nothing that it could change.

        """
        changed = copy.deepcopy(dict(document))
        for text in self.put:
            path, value = split(text, "--set")
            put(changed, path, _value(value, path, force_string=self.force_string))
        for words in self.add:
            _add(changed, words, force_string=self.force_string)
        for words in self.remove:
            _remove(changed, words)
        return changed


def split(text: str, option: str) -> tuple[Path, str]:
    """Return the path and the value of a `key.key=value` text.

    Raises:
        Mistake: it has no `=`, or its path cannot be read.

    """
    name, sign, value = text.partition("=")
    if not sign:
        raise Mistake(f"{option} {text}: write key=value, with dots between keys: defaults.deployment_name=blue")
    return parse(name, option), value


def parse(text: str, option: str) -> Path:
    """Return the steps of a path such as `a.b[0].c`.

    Raises:
        Mistake: it cannot be read.

    """
    steps: list[str | int] = []
    for part in text.split("."):
        found = _STEP.fullmatch(part.strip())
        if found is None or not found["key"]:
            raise Mistake(f"{option} {text}: no path; write keys with dots between them, as tags.owner")
        steps.append(found["key"])
        steps += [int(place) for place in re.findall(r"\d+", found["places"])]
    return tuple(steps)


def put(document: dict[str, Any], path: Path, value: Any) -> None:
    """Set what a path names; mappings on the way are made.

    Raises:
        Mistake: something on the way is neither a mapping nor a list, or its list is shorter.

    """
    *way, last = path
    place: Any = document
    for at, step in enumerate(way):
        if isinstance(place, dict) and place.get(step) is None:
            place[step] = {}
        place = _step(place, path, at, "--set")
    _check(place, path, len(way), "--set")
    place[last] = value


def reading(text: str) -> Any:
    """Return the value of a text: JSON where it is that, the text itself elsewhere."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError:
        return text


def _no_number(word: str) -> NoReturn:
    raise ValueError(word)


def _value(text: str, path: Path, *, force_string: bool) -> Any:
    if force_string or (len(path) > 1 and path[-2] in _TEXTS):
        return text
    return reading(text)


def _add(document: dict[str, Any], words: Sequence[str], *, force_string: bool) -> None:
    name, *rest = words
    path = parse(name, "--add")
    if not rest:
        raise Mistake(f"--add {name}: say what is added: --add {name} key=value")
    place: Any = document
    for at, step in enumerate(path[:-1]):
        if isinstance(place, dict) and place.get(step) is None:
            place[step] = {}
        place = _step(place, path, at, "--add")
    _check(place, path, len(path) - 1, "--add")
    if isinstance(place, dict) and place.get(path[-1]) is None:
        place[path[-1]] = {} if all("=" in word for word in rest) else []
    _extend(place[path[-1]], rest, name, force_string=force_string)


def _extend(place: Any, words: Sequence[str], name: str, *, force_string: bool) -> None:
    """Add words to a list, or `key=value` words to a mapping."""
    if isinstance(place, list) and all("=" in word for word in words):
        place.append(dict(word.split("=", 1) for word in words))
    elif isinstance(place, list):
        place += [word if force_string else reading(word) for word in words]
    elif isinstance(place, dict) and all("=" in word for word in words):
        place |= dict(word.split("=", 1) for word in words)
    else:
        kind = "a mapping takes key=value" if isinstance(place, dict) else "it is neither a list nor a mapping"
        raise Mistake(f"--add {name}: nothing can be added there: {kind}")


def _remove(document: dict[str, Any], words: Sequence[str]) -> None:
    name, *rest = words
    path = parse(name, "--remove")
    if rest:
        if len(rest) > 1 or not rest[0].isdecimal():
            raise Mistake(
                f"--remove {' '.join(words)}: give a path, and at most one place (a number) in the list there"
            )
        path = (*path, int(rest[0]))
    place: Any = document
    for at in range(len(path) - 1):
        place = _step(place, path, at, "--remove")
    _check(place, path, len(path) - 1, "--remove")
    if isinstance(place, dict) and path[-1] not in place:
        raise _nothing(path, len(path) - 1, "--remove", place)
    del place[path[-1]]


def _step(place: Any, path: Path, at: int, option: str) -> Any:
    _check(place, path, at, option)
    found = place.get(path[at]) if isinstance(place, dict) else place[path[at]]
    if found is None:
        raise _nothing(path, at, option, place)
    return found


def _check(place: Any, path: Path, at: int, option: str) -> None:
    """Refuse to go one step further where a place has none."""
    step = path[at]
    if isinstance(place, dict) and isinstance(step, str):
        return
    if isinstance(place, list) and isinstance(step, int):
        if step >= len(place):
            raise Mistake(
                f"{option} {shown(path)}: the list {shown(path[:at])} has {counted(len(place), 'entry', 'entries')}"
            )
        return
    above = shown(path[:at])
    if isinstance(place, str) and option == "--set":
        raise Mistake(f"{BENEATH_REFERENCE} {above} is {place!r}; set {above} itself")
    kinds: dict[type, str] = {dict: "a mapping: give a key", list: "a list: give a place, as [0]"}
    kind = kinds.get(type(place), "a single value")
    raise Mistake(f"{option} {shown(path)}: {above} is {kind}")


def _nothing(path: Path, at: int, option: str, place: Any) -> Mistake:
    there = ", ".join(sorted(map(str, place))) if isinstance(place, dict) else ""
    hint = f" (there are: {there})" if there else ""
    return Mistake(f"{option} {shown(path)}: there is no {shown(path[: at + 1])}{hint}")


def shown(path: Path) -> str:
    """Return a path as it is written."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")
