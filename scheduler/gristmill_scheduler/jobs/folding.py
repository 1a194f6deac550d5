"""Keys of a request as all its dialects mean them: `InputData`, `inputData` and `input_data` are one."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from gristmill.errors import Mistake

#: ISO 8601, as Azure's clients write it: days, hours, minutes, seconds.
_DURATION: Final = re.compile(
    r"P(?:(\d+(?:\.\d+)?)D)?(?:T(?:(\d+(?:\.\d+)?)H)?(?:(\d+(?:\.\d+)?)M)?(?:(\d+(?:\.\d+)?)S)?)?", re.IGNORECASE
)

_SECONDS: Final = (86400, 3600, 60, 1)


def folded(key: str) -> str:
    """Return a key without what its dialects differ in."""
    return key.replace("_", "").replace("-", "").lower()


def fold(value: Any, field: str) -> dict[str, Any]:
    """Return a mapping with its own keys folded; what is beneath them stays.

    Raises:
        Mistake: it is no mapping, or says one thing twice.

    """
    if not isinstance(value, Mapping):
        raise Mistake(f"{field}: {_shown(value)} is no object; give one with keys and values")
    result: dict[str, Any] = {}
    for key, item in value.items():
        if folded(str(key)) in result:
            raise Mistake(f"{field}: {key} is given twice, in two spellings; give it once")
        result[folded(str(key))] = item
    return result


def text(value: Any, field: str) -> str:
    """Return a text as it is; "" for none.

    Raises:
        Mistake: it is something else.

    """
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Mistake(f"{field}: {_shown(value)} is no text; give one in quotes")
    return value


def texts(value: Any, field: str) -> dict[str, str]:
    """Return a mapping of texts; numbers and the like become what they are written as.

    Raises:
        Mistake: it is no mapping, or holds something that is no scalar.

    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Mistake(f"{field}: {_shown(value)} is no object; give one of texts")
    for key, item in value.items():
        if isinstance(item, (Mapping, list)):
            raise Mistake(f"{field}.{key}: {_shown(item)} is no text; give one in quotes")
    return {str(key): _written(item) for key, item in value.items() if item is not None}


def number(value: Any, field: str) -> int:
    """Return a whole number, also where it is written as a text.

    Raises:
        Mistake: it is none.

    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return int(value) if isinstance(value, str) else _whole(value)
    except (ValueError, TypeError, OverflowError):
        raise Mistake(f"{field}: {_shown(value)} is no whole number") from None


def seconds(value: Any, field: str) -> int:
    """Return seconds, from a number or a duration such as PT5M; parts of a second count whole.

    Raises:
        Mistake: it is neither.

    """
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or not any(match.groups()):
        if isinstance(value, str) and value[:1] in "Pp" and value:
            raise Mistake(f"{field}: {_shown(value)} is no duration; give seconds, or PT5M for five minutes")
        return number(value, field)
    return math.ceil(sum(float(part) * unit for part, unit in zip(match.groups(), _SECONDS, strict=True) if part))


def _whole(value: Any) -> int:
    if not isinstance(value, float) or not value.is_integer():
        raise ValueError
    return int(value)


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _shown(value: Any) -> str:
    """Return a value for a message, cut to what fits a line."""
    shown = repr(value)
    return shown if len(shown) <= 60 else f"{shown[:57]}..."  # noqa: PLR2004 - a line
