"""The body of an invoke: input, output and overrides as MLClient takes them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from gristmill.addresses import absolute, is_asset
from gristmill.errors import InputNotFound, Mistake
from gristmill.service.resource import plain
from gristmill.service.uploads import Uploads, Use, is_reference
from gristmill.service.values import Input, InputLike, OutputLike, as_input, as_output

_TYPES: Final = ("uri_folder", "uri_file")

_EMPTY: Final = "Input path can't be empty for batch endpoint invoke"
_SUPPORTED: Final = (
    "Supported input path value are: path on the datastore, public URI, a registered data asset, "
    "or a local folder path."
)
_UNSUPPORTED: Final = (
    "Unsupported input type please use a dictionary of either a path on the datastore, public URI, "
    "a registered data asset, or a local folder path."
)

#: What names a local path whatever characters follow.
_LOCAL: Final = re.compile(r"[/~]|\.\.?(/|$)|file:")


def invocation(
    uploads: Uploads,
    *,
    inputs: Mapping[str, InputLike],
    outputs: Mapping[str, OutputLike],
    overrides: Iterable[Mapping[str, Any]],
    **more: Any,
) -> dict[str, Any]:
    """Return the body that asks for a job; local files of its input are brought to the server first.

    Args:
        uploads: the server's place for files.
        inputs: what is scored; a model deployment takes one, and its name does not matter.
        outputs: where the results go; none: the default datastore.
        overrides: settings of this job, nested or with dots: {"mini_batch_size": 5}, {"compute.instance_count": 2}.
        more: keys of the body that are taken as they are, unless they are None.

    Raises:
        InputNotFound: there is nothing at a local path.
        Mistake: an input or an override cannot be used.

    """
    body = {**merged(overrides), **{key: plain(value) for key, value in more.items() if value is not None}}
    if inputs:
        body["input_data"] = {name: _input(as_input(given), uploads) for name, given in inputs.items()}
    if outputs:
        body["output_data"] = {name: _output(given) for name, given in outputs.items()}
    return body


def merged(overrides: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return overrides as one nested mapping; the later of two wins.

    Raises:
        Mistake: one is no mapping, or has something beneath a plain value.

    """
    whole: dict[str, Any] = {}
    for given in overrides:
        if not isinstance(given, Mapping):
            raise Mistake(f"params_override: {given!r} is no mapping; give [{{'mini_batch_size': 5}}]")
        _merge(whole, plain(given))
    return whole


def _merge(whole: dict[str, Any], given: Mapping[str, Any]) -> None:
    for dotted, value in given.items():
        *above, key = dotted.split(".")
        there = whole
        for name in above:
            there = there.setdefault(name, {})
            if not isinstance(there, dict):
                raise Mistake(f"params_override: {dotted}: {name} is {there!r}, nothing can be set beneath it")
        there[key] = _union(there.get(key), value)


def _union(there: Any, value: Any) -> Any:
    """Return what two values under one key come to; keys beneath it are as they are written."""
    if not isinstance(there, dict) or not isinstance(value, dict):
        return value
    return {**there, **{key: _union(there.get(key), inner) for key, inner in value.items()}}


def _input(given: Input, uploads: Uploads) -> dict[str, Any]:
    if given.type is not None and given.type not in _TYPES:
        raise Mistake(f"{_UNSUPPORTED} (type {given.type!r}: give uri_folder or uri_file)")
    if given.path is not None and not isinstance(given.path, (str, Path)):
        raise Mistake(f"{_SUPPORTED} (it is {given.path!r})")
    text = str(given.path or "").strip()
    if not text:
        raise Mistake(_EMPTY)
    kind, uri = _resolved(text, given.type, uploads)
    return {"uri": uri} if kind is None else {"job_input_type": kind, "uri": uri}


def _resolved(text: str, kind: str | None, uploads: Uploads) -> tuple[str | None, str]:
    """Return the type, None to let the server say, and the address of an input."""
    if not _LOCAL.match(text):
        if is_reference(text):
            return kind, text
        if is_asset(text):
            return kind, f"azureml:{text}"
    elif is_reference(text):
        # An ARM id begins as an absolute path does.
        return kind, text
    path = Path(absolute(text))
    found = "uri_file" if path.is_file() else "uri_folder"
    if not path.exists() or (kind is not None and kind != found):
        what = "file" if kind == "uri_file" else "folder"
        raise InputNotFound(f"There is no {what} on target path: {path}")
    uri = uploads.bring(path, Use.INPUT)
    return found, f"{uri}/" if found == "uri_folder" else uri


def _output(given: OutputLike) -> dict[str, Any]:
    output = as_output(given)
    text = str(output.path or "").strip()
    if output.type not in _TYPES:
        raise Mistake(f"Job output type must be 'uri_file'. (It is {output.type!r}.)")
    if not text:
        raise Mistake("output: a path is missing; give azureml://datastores/<name>/paths/<path>")
    return {"job_output_type": output.type, "uri": text if is_reference(text) else absolute(text)}
