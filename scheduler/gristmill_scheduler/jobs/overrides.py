"""What one job changes of its deployment: every dialect's keys, made `settings.mini_batch_size=50` and the like."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from gristmill.errors import Mistake
from gristmill_scheduler.jobs.folding import folded, number, seconds

_VARIABLES: Final = "environmentvariables"


def _as_is(value: Any, _field: str) -> Any:
    return value


#: What may be changed: the key as it is folded, where it stands in a deployment, and how its value is read.
_KEYS: Final[dict[str, tuple[str, Callable[[Any, str], Any]]]] = {
    "instancecount": ("resources.instance_count", number),
    "minibatchsize": ("settings.mini_batch_size", number),
    "errorthreshold": ("settings.error_threshold", number),
    "maxretries": ("settings.retry_settings.max_retries", number),
    "timeout": ("settings.retry_settings.timeout", seconds),
    "outputfilename": ("settings.output_file_name", _as_is),
    "maxconcurrencyperinstance": ("settings.max_concurrency_per_instance", number),
    "outputaction": ("settings.output_action", _as_is),
    "logginglevel": ("settings.logging_level", _as_is),
    "minibatchbytes": ("settings.mini_batch_bytes", number),
    "recursive": ("settings.recursive", _as_is),
    "outputformat": ("settings.output_format", _as_is),
    "header": ("settings.header", _as_is),
    "delimiter": ("settings.delimiter", _as_is),
    "rowsperpredict": ("settings.rows_per_predict", number),
    "predictper": ("settings.predict_per", _as_is),
    "splitfiles": ("settings.split_files", _as_is),
    "splitbytes": ("settings.split_bytes", number),
    "inittimeout": ("settings.init_timeout", seconds),
    "isolatefailures": ("settings.isolate_failures", _as_is),
    "speculate": ("settings.speculate", _as_is),
    "keepscorersseconds": ("settings.keep_scorers_seconds", number),
    "priority": ("settings.priority", _as_is),
    "leaseminibatches": ("settings.tuning.lease_mini_batches", number),
    "framesinflight": ("settings.tuning.frames_in_flight", number),
    "prefetchitems": ("settings.tuning.prefetch_items", number),
    "threadsperscorer": ("settings.tuning.threads_per_scorer", number),
    "flushbytes": ("settings.tuning.flush_bytes", number),
}

#: Keys that hold others; they may be left out. Azure's jobs of other kinds have their priority in `queue_settings`.
#: `islocal`: Azure's clients send it, and it means nothing.
_GROUPS: Final = frozenset(
    {"settings", "resources", "compute", "retrysettings", "queuesettings", "properties", "tuning"}
)
_PASSED_OVER: Final = frozenset({"islocal"})

#: What no job may change, because it is what the deployment is.
_FIXED: Final = frozenset({"compute", "target", "model", "environment", "codeconfiguration", "code", "scoringscript"})


def is_override(key: str) -> bool:
    """Return whether a folded key of a request's body changes something of the deployment."""
    return key in _KEYS or key == _VARIABLES or (key in _GROUPS and key != "properties")


def overrides_of(value: Any, field: str) -> list[str]:
    """Return overrides as `key=value`, the value in JSON.

    Args:
        value: nested or dotted keys with their values; a list of such; or a list of `key=value` texts.
        field: what a message names.

    Raises:
        Mistake: something cannot be changed, is unknown, or is no value.

    """
    if isinstance(value, list):
        return [text for each in value for text in overrides_of(_mapping(each, field), field)]
    if not isinstance(value, Mapping):
        raise Mistake(f"{field}: {value!r} is no object; give keys with their values")
    return [_set(path, leaf, field) for path, leaf in _leaves(value, ()) if not _is_passed_over(path)]


def _mapping(value: Any, field: str) -> Any:
    if not isinstance(value, str):
        return value
    key, sign, text = value.partition("=")
    if not sign:
        raise Mistake(f"{field}: {value!r} has no value; write key=value")
    try:
        return {key: json.loads(text)}
    except ValueError:
        return {key: text}


def _leaves(value: Mapping[str, Any], above: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield each value with the path of its keys; what is beneath the variables is named as it is."""
    for key, item in value.items():
        path = (*above, *_parts(str(key), above))
        if isinstance(item, Mapping):
            yield from _leaves(item, path)
        elif item is not None:
            yield path, item


def _parts(key: str, above: tuple[str, ...]) -> list[str]:
    if any(folded(part) == _VARIABLES for part in above):
        return [key]
    head, dot, rest = key.partition(".")
    return [head] if not dot else [head, *_parts(rest, (*above, head))]


def _is_passed_over(path: tuple[str, ...]) -> bool:
    return folded(path[-1]) in _PASSED_OVER


def _set(path: tuple[str, ...], value: Any, field: str) -> str:
    named = f"{field}.{'.'.join(path)}" if field else ".".join(path)
    keys = [folded(part) for part in path]
    if _VARIABLES in keys[:-1]:
        return _variable(path[-1], value, named)
    *groups, key = keys
    place = _KEYS.get(key) if all(group in _GROUPS for group in groups) else None
    if place is None:
        raise Mistake(_refusal(key, named))
    if isinstance(value, list):
        raise Mistake(f"{named}: {value!r} is a list; give one value")
    name, read = place
    return f"{name}={json.dumps(read(value, named))}"


def _variable(name: str, value: Any, named: str) -> str:
    if not name or "." in name or "=" in name:
        raise Mistake(f"{named}: an environment variable's name has no '.' and no '='")
    written = str(value).lower() if isinstance(value, bool) else str(value)
    return f"settings.environment_variables.{name}={json.dumps(written)}"


def _refusal(key: str, named: str) -> str:
    if key in _FIXED:
        return f"{named}: belongs to the deployment and cannot be changed for one job; make another deployment"
    names = {folded(name.rpartition(".")[2]): name.rpartition(".")[2] for name, _ in _KEYS.values()}
    close = difflib.get_close_matches(key, names, n=1)
    hint = f"did you mean {names[close[0]]}?" if close else f"known are {', '.join(sorted(names.values()))}"
    return f"{named}: nothing of that name can be changed for one job; {hint}"
