"""The keys that every kind of document has: what it is called, what is said of it, and what only a server shows."""

from __future__ import annotations

import re
from typing import Final

from gristmill.deployment import messages
from gristmill.deployment.kinds import Boolean, Ignored, Kind, Loose, Text, Texts
from gristmill.deployment.nodes import short
from gristmill.deployment.report import Refused
from gristmill.deployment.sections import Key

#: Of keys that Azure has and that mean nothing here.
ACCEPTED: Final = "Accepted, without effect."
#: Of keys that a server shows and nobody sets.
SHOWN: Final = "Shown by a server; without effect in a file."

LIMITS: Final = "letters, digits, `_`, `.`, `-`; up to 255"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
#: What stands where a version or a label does, and so cannot be a version.
_LABELS: Final = ("latest", "default")

_OF_ALL: Final = ("id", "creation_context", "provisioning_state")
#: What a server shows of a version.
OF_VERSIONS: Final = ("latest_version", "archived")

#: What some of Azure's keys are, which have no effect.
_KINDS: Final[dict[str, Kind]] = {
    **dict.fromkeys(("location", "namespace", "resource_id", "datastore"), Text()),
    **dict.fromkeys(("ssh_public_access_enabled", "enable_node_public_ip"), Boolean()),
    **dict.fromkeys(("identity", "inference_config", "ssh_settings", "network_settings"), Loose()),
}

TAGS: Final = (
    Key(name="description", kind=Text(), meaning="For people."),
    Key(name="tags", kind=Texts(), meaning="For people."),
    Key(name="properties", kind=Texts(), meaning="For programs; carried along."),
)


def name(text: str) -> str:
    """Accept the name of a model, data, an environment, a datastore or a compute.

    Raises:
        Refused: nothing can be called so.

    """
    if not _NAME.fullmatch(text):
        raise Refused(
            f"{messages.PATTERN} Found {short(repr(text))}; begin with a letter or digit, go on with letters, digits, "
            "'_', '.' and '-', 255 characters at most"
        )
    return text


def version(text: str) -> str:
    """Accept a version of an asset.

    Raises:
        Refused: it is none, or a label.

    """
    if text in _LABELS:
        raise Refused(f"{text!r} is a label; give a version, such as 1, or leave it out for the next number")
    return name(text)


def named(what: str) -> Key:
    """Return the key of the name."""
    meaning = f"Name of the {what}; `--name` wins over it."
    return Key(name="name", kind=Text(name, limits=LIMITS), default="required", meaning=meaning)


def _accepted(key: str) -> Key:
    return Key(name=key, kind=_KINDS.get(key, Ignored()), meaning=ACCEPTED, dropped=True)


def passed_over(*accepted: str, shown: tuple[str, ...] = ()) -> tuple[Key, ...]:
    """Return the keys that are taken and forgotten: those of editors and of Azure, and those that a server shows."""
    return (
        *(_accepted(each) for each in ("$schema", *accepted)),
        *(Key(name=each, kind=Ignored(), meaning=SHOWN, dropped=True) for each in (*_OF_ALL, *shown)),
    )
