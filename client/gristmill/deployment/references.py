"""The strings that name something registered elsewhere: `azureml:...`, `models:/...`, `runs:/...`, and plain addresses.

Source: "Core syntax" of the Azure ML CLI v2 YAML reference, and MLflow's model URIs.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final

from gristmill.deployment.report import Refused

_WORD: Final = r"[^:@/\s]+"
_SHORT: Final = re.compile(rf"azureml:(?P<name>{_WORD})(:(?P<version>{_WORD})|@(?P<label>{_WORD}))?")
#: The long forms (registries, workspaces, ARM ids) of one collection.
_LONG: Final = {
    collection: re.compile(
        r"(azureml:(//)?)?/?(registries|subscriptions|locations)/\S+/"
        rf"{collection}/(?P<name>{_WORD})(/(versions|labels)/(?P<version>{_WORD}))?"
    )
    for collection in ("models", "environments")
}
_MLFLOW: Final = re.compile(rf"models:/(?P<name>{_WORD})(/(?P<version>{_WORD})|@(?P<label>{_WORD}))?|runs:/\S+/\S+")
_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://\S+")
_UPLOAD: Final = re.compile(r"upload:[0-9a-f]{64}(/.*)?")
_COMPUTE: Final = re.compile(r"(azureml:)?(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,63})")
_ARM_COMPUTE: Final = re.compile(r"(azureml:)?/subscriptions/\S+/computes/(?P<name>[A-Za-z0-9][A-Za-z0-9_.-]{0,63})")


@dataclass(frozen=True)
class Reference:
    """The name of something registered."""

    text: str
    name: str = ""
    #: A version or, after `@`, a label such as "latest"; "" where the reference names none.
    version: str = ""


def registered(text: str, collection: str) -> Reference | None:
    """Return the reference to a model or environment (`collection`: "models", "environments"); None: it is none."""
    found = _SHORT.fullmatch(text)
    if found:
        return Reference(text, found["name"], found["version"] or found["label"] or "")
    found = _LONG[collection].fullmatch(text)
    if found:
        return Reference(text, found["name"], found["version"] or "")
    return None


def model_reference(text: str) -> Reference | None:
    """Return the reference to a model, MLflow's included; None: it is none."""
    found = _MLFLOW.fullmatch(text)
    if found:
        return Reference(text, found["name"] or "", found["version"] or found["label"] or "")
    return registered(text, "models")


def model_rule(text: str) -> Reference:
    """Return the reference that `model:` holds.

    Raises:
        Refused: it is none; the message says how to write what was meant.

    """
    reference = model_reference(text)
    if reference:
        return reference
    if re.fullmatch(rf"{_WORD}:{_WORD}", text):
        raise Refused(f"{text!r} is not a reference; write azureml:{text}, or a path beneath model: path:")
    raise Refused(
        f"{text[:80]!r} is not a reference (azureml:<name>:<version>, azureml:<name>@latest, "
        "models:/<name>/<version>); a file, a folder or a URL goes beneath model: path:"
    )


def environment_rule(text: str) -> Reference:
    """Return the reference that `environment:` holds.

    Raises:
        Refused: it is none.

    """
    reference = registered(text, "environments")
    if reference is None:
        raise Refused(
            f"{text[:80]!r} is not a reference (azureml:<name>:<version>, azureml:<name>@latest); "
            "a conda file goes beneath environment: conda_file:"
        )
    return reference


def compute_rule(text: str) -> str:
    """Return the name of the compute, without `azureml:`.

    Raises:
        Refused: it is no compute's name.

    """
    found = _COMPUTE.fullmatch(text) or _ARM_COMPUTE.fullmatch(text)
    if not found:
        raise Refused(f"{text[:80]!r} is no compute; write azureml:<name>, <name>, or local")
    return found["name"]


def is_url(text: str) -> bool:
    """Whether the text is an address with a scheme; `file://` is a local path here."""
    return bool(_URL.fullmatch(text)) and not text.lower().startswith("file://")


def is_upload(text: str) -> bool:
    """Whether the text is the address of what a client sent to a server: `upload:<tree>`, `upload:<tree>/<path>`."""
    return bool(_UPLOAD.fullmatch(text))


def kept_path(text: str) -> str:
    """Accept a path that is taken as it is, because whose machine's it is, and what is there, is not known here.

    Raises:
        Refused: it is relative, and so says nothing without a folder.

    """
    if is_url(text) or is_upload(text):
        return text
    path = local_path(text, "/")
    if text.lower().startswith("file:") or not os.path.isabs(text):  # noqa: PTH117 - text, no path
        raise Refused(f"{text[:80]!r} is relative to nothing here; give an absolute path, or an address")
    return path


def local_path(text: str, folder: str) -> str:
    """Return a local path as an absolute one; `file:` in front is passed over.

    Raises:
        Refused: no file can have that name.

    """
    if text.lower().startswith("file:"):
        text = text[5:]
        text = text.removeprefix("//")
    if not text.strip():
        raise Refused("the path is empty; give one, relative to this file's folder")
    if "\0" in text:
        raise Refused(f"{text[:80]!r} holds a NUL character; no path does")
    return os.path.abspath(os.path.join(folder, text))  # noqa: PTH100, PTH118 - must not resolve links: their names count
