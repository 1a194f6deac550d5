"""Addresses that a request may name, and where nodes find what they name.

upload:<tree>[/path]                            what a client uploaded
azureml://datastores/<name>/paths/<path>        a place in a datastore; also in the long form of Azure's ids
https://..., s3://..., abfs://..., gs://...     kept as they are
/path, file:///path                             a folder of this machine, inside the allowed ones
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias
from urllib.parse import urlsplit

from gristmill.errors import Forbidden, InputNotFound, Mistake
from gristmill_scheduler.resources.datastores import Datastores
from gristmill_scheduler.resources.roots import Roots, inside
from gristmill_storage.credentials import AZURE_DOMAINS, azure_host, parted
from gristmill_storage.files import EXTRAS, is_local, scheme
from gristmill_storage.reach import Reach, Unreachable
from gristmill_storage.store import checked, shown, without_secrets
from gristmill_storage.workspace import Workspace

#: What an address is for.
Kind: TypeAlias = Literal["input", "output", "code", "model"]

#: What Azure's own client answers where an address is of no known kind.
SUPPORTED: Final = (
    "Supported input path value are: path on the datastore, public URI, a registered data asset, "
    "or a local folder path."
)

EMPTY: Final = "Input path can't be empty for batch endpoint invoke"

#: Of Azure's ids the workspace is passed over: there is one, this server's.
_DATASTORE: Final = re.compile(
    r"(azureml:(//)?/?|/(?=subscriptions/))((subscriptions|locations)/.+?/)?datastores/"
    r"(?P<name>[^/]+)(/paths(/(?P<path>.*))?)?",
    re.IGNORECASE | re.DOTALL,
)
_UPLOAD: Final = re.compile(r"upload:(?P<tree>[0-9a-f]{64})(/(?P<path>.*))?", re.DOTALL)


def is_datastore(text: str) -> bool:
    """Return whether an address is a place in a datastore."""
    return _DATASTORE.fullmatch(text) is not None


@dataclass(frozen=True, kw_only=True)
class Located:
    """Where something is."""

    #: An absolute local path or a URL, which nodes open.
    url: str
    #: `uri_file` or `uri_folder` where that is known.
    type: str | None = None
    #: The address as it was given, with a data asset's version filled in; without secrets.
    origin: str


class Places:
    """The addresses that lead to a place by themselves."""

    def __init__(self, workspace: Workspace, datastores: Datastores, roots: Roots, reach: Reach | None = None) -> None:
        """Take where uploads are, where datastores lead, and which folders and hosts requests may name (None: any)."""
        self._workspace = workspace
        self._datastores = datastores
        self._roots = roots
        self._reach = reach

    def place(self, text: str, *, kind: Kind) -> Located:
        """Return where an address leads.

        Raises:
            Forbidden: it is a folder of this machine that requests may not name.
            InputNotFound: there is nothing at a local path that is to be read.
            Mistake: it is no address that can be used here.
            ResourceNotFound: there is no such datastore or upload.

        """
        if not text.strip():
            raise Mistake(f"{EMPTY}. Give an address, such as azureml:<data>:<version> or https://...")
        if not text.isprintable():
            raise Mistake(f"{shown(text)}: holds characters that no address does")
        return Located(url=self._url(text, kind), origin=without_secrets(text))

    def _url(self, text: str, kind: Kind) -> str:
        if text.lower().startswith("upload:"):
            return self._upload(text, kind)
        datastore = _DATASTORE.fullmatch(text)
        if datastore:
            return self._in_datastore(datastore["name"], datastore["path"] or "", kind)
        if scheme(text) not in ("", "file", "azureml"):
            return self._checked(_url(text, kind))
        if text.startswith(("/", "file:")):
            return self._local(text, kind)
        raise Mistake(f"{text[:200]}: {SUPPORTED} A relative path means nothing to a server; give an absolute one")

    def _checked(self, url: str) -> str:
        """Refuse an address whose own words lead into the server's network; where a name leads is seen at its use."""
        host = urlsplit(url).hostname or "" if scheme(url) in ("http", "https") else ""
        storage, domain = azure_host(url)
        if self._reach is None:
            return url
        try:
            self._reach.check_host(host)
        except Unreachable as error:
            raise Forbidden(
                f"{without_secrets(url)}: {error}, which requests may not have the server open; give a public one, "
                "let the client upload the files, or let the server's owner allow the host (--allow-host)"
            ) from None
        if storage and domain not in AZURE_DOMAINS and not self._reach.names_host(storage):
            raise Forbidden(
                f"{without_secrets(url)}: {storage} is none of Azure's own hosts, and would be shown this server's "
                "credentials; give azureml://datastores/<name>/paths/<path>, or let the server's owner allow the host "
                "(--allow-host)"
            )
        return url

    def _upload(self, text: str, kind: Kind) -> str:
        found = _UPLOAD.fullmatch(text)
        if found is None:
            raise Mistake(f"{text[:200]}: write upload:<tree>/<path>, with the 64 digits that name the uploaded tree")
        if kind == "output":
            raise Mistake(f"{text[:200]}: what was uploaded never changes; give the output another address")
        path = (found["path"] or "").rstrip("/")
        return self._workspace.uploads.url(found["tree"], checked(path) if path else "")

    def _in_datastore(self, name: str, path: str, kind: Kind) -> str:
        root = self._datastores.root(name)
        path = path.strip("/")
        if path:
            checked(path)
        if is_local(root):
            return self._roots.place(inside(root, path), reading=kind != "output")
        return f"{root}/{path}" if path else root

    def _local(self, text: str, kind: Kind) -> str:
        path = self._roots.place(text, reading=kind != "output")
        if kind != "output" and not os.path.exists(path):  # noqa: PTH110 - Path.exists raises where a name is too long
            raise InputNotFound(f"There is no file or folder on target path: {shown(path)}. Give one that is there")
        return path


def _url(text: str, kind: Kind) -> str:
    name = scheme(text)
    if name not in EXTRAS:
        known = ", ".join(f"{each}://" for each in EXTRAS)
        raise Mistake(f"{without_secrets(text)}: nothing is known of {name}://. {SUPPORTED} Known are {known}")
    if _has_password(text, web=name in ("http", "https")):
        raise Mistake(
            f"{without_secrets(text)}: the address holds a user's name or password, which would be kept wherever it "
            "goes; give azureml://datastores/<name>/paths/<path> of a datastore that has the credentials, or a signed "
            "address"
        )
    if parted(text)[0]:
        # Only a datastore's own document says whose credentials open what.
        raise Mistake(
            f"{without_secrets(text)}: a request names no credentials; give azureml://datastores/<name>/paths/<path>"
        )
    if kind == "output" and name in ("http", "https"):
        raise Mistake(f"{without_secrets(text)}: a web address can only be read; give a datastore's path")
    return text


def _has_password(text: str, *, web: bool) -> bool:
    """Return whether an address names a user; abfs://container@account.host is an address without one."""
    user, at, _ = re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0].rpartition("@")
    return bool(at) and (web or ":" in user)
