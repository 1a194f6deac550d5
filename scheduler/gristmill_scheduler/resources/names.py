"""What may be a name on this server, in the words of Azure's own tools."""

from __future__ import annotations

import re
from typing import Final

from gristmill.deployment import messages, rules
from gristmill.deployment.nodes import short
from gristmill.deployment.report import Refused
from gristmill.errors import Mistake

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")


def is_name(text: str) -> bool:
    """Whether something may have that name or version."""
    return bool(_NAME.fullmatch(text))


def check_name(field: str, text: str) -> None:
    """Refuse what cannot be the name or version of an asset, a datastore or a compute.

    Raises:
        Mistake: it cannot; the message begins with the field.

    """
    if not is_name(text):
        raise Mistake(
            f"{field}: {messages.PATTERN} Found {short(repr(text))}; begin with a letter or digit, go on with letters, "
            "digits, '_', '.' and '-', 255 characters at most"
        )


def endpoint_name(text: str) -> str:
    """Return an endpoint's name in lower case.

    Raises:
        Mistake: no endpoint can be called so.

    """
    return _lowered("name", "an endpoint", text)


def deployment_name(text: str) -> str:
    """Return a deployment's name in lower case.

    Raises:
        Mistake: no deployment can be called so.

    """
    return _lowered("name", "a deployment", text)


def _lowered(field: str, what: str, text: str) -> str:
    try:
        return rules.resource_name(what)(text)
    except Refused as refused:
        raise Mistake(f"{field}: {refused.message}") from None
