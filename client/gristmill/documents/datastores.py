"""A datastore's file: a name for a root in a store. One table of keys a type, because each store has its own words.

No message shows what stands beneath credentials; a server refuses what is a secret there.

Source: the datastore YAML schemas of the Azure ML CLI v2; `s3`, `gcs` and `local` are Gristmill's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from gristmill.deployment import messages
from gristmill.deployment.kinds import Choice, Hushed, Text
from gristmill.deployment.nodes import Node
from gristmill.deployment.report import Refused, Report
from gristmill.deployment.sections import Given, Key, Section
from gristmill.documents import paths
from gristmill.documents.described import TAGS, named, passed_over
from gristmill.documents.opening import Opened, opened
from gristmill.documents.requirement import require

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def _variable(text: str) -> str:
    if not _VARIABLE.fullmatch(text):
        raise Refused("this is no name of an environment variable; give the name, never the secret itself")
    return text


CREDENTIALS: Final = Section(
    (
        Key(name="environment", kind=Text(_variable), meaning="The nodes' variable that holds the secret.", ours=True),
        Key(name="file", kind=Text(), meaning="The file that holds it: in `GRISTMILL_SECRETS`, or a path.", ours=True),
        *(
            Key(name=name, kind=Text(), meaning="Carried along; no secret.")
            for name in ("type", "tenant_id", "client_id", "authority_url", "resource_url")
        ),
        *(
            Key(name=name, kind=Hushed(), meaning="A secret: a server refuses it.")
            for name in ("account_key", "sas_token", "client_secret", "certificate", "thumbprint")
        ),
    ),
    path="credentials",
)

_CREDENTIALS: Final = Key(name="credentials", kind=CREDENTIALS, meaning="Where nodes find what opens the store.")


def _store(kind: str, *keys: Key) -> Section:
    first = Key(name="type", kind=Choice((kind,)), default="required", meaning="Which store.")
    return Section(
        (named("datastore"), first, *keys, *TAGS, _CREDENTIALS, *passed_over(shown=("is_default", "root"))), path=kind
    )


def _needed(name: str, meaning: str) -> Key:
    return Key(name=name, kind=Text(), default="required", meaning=meaning)


_PREFIX: Final = Key(name="prefix", kind=Text(), default="the whole bucket", meaning="Folder in the bucket.")
_ACCOUNT: Final = (
    _needed("account_name", "Storage account."),
    Key(name="endpoint", kind=Text(), default="`core.windows.net`", meaning="Domain of the store."),
    Key(name="protocol", kind=Choice(("https", "http", "wasbs", "abfss")), default="`https`", meaning="Carried along."),
)

STORES: Final = {
    "azure_blob": _store("azure_blob", *_ACCOUNT, _needed("container_name", "Container.")),
    "azure_data_lake_gen2": _store("azure_data_lake_gen2", *_ACCOUNT, _needed("filesystem", "File system.")),
    "azure_file": _store("azure_file", *_ACCOUNT, _needed("file_share_name", "Share; a server may refuse shares.")),
    "s3": _store("s3", _needed("bucket", "Bucket."), _PREFIX),
    "gcs": _store("gcs", _needed("bucket", "Bucket."), _PREFIX),
    "local": _store("local", _needed("path", "Folder that all nodes see, relative to the file.")),
}

_TYPE: Final = Choice(tuple(STORES))


def load_datastore(
    source: Path | str | Mapping[str, Any],
    *,
    overrides: Sequence[str] = (),
    name: str | None = None,
    folder: Path | None = None,
    local: bool = True,
) -> dict[str, Any]:
    """Return a datastore; the parameters are those of `load_deployment_document`.

    Raises:
        InvalidDocument: the document cannot be used; it lists every fault.

    """
    document = opened(source, what="datastore", folder=folder, local=local).set(overrides).told(name=name)
    kind = _type(document.root, document.report)
    if kind is None:
        document.close()
        raise AssertionError
    given = STORES[kind].read(document.root, document.report)
    _check(given, STORES[kind], document.report)
    found = _placed(given, document)
    document.close()
    return found


def _type(root: Node, report: Report) -> str | None:
    node = root.children.get("type")
    if node is None:
        report.place(f"{messages.MISSING} Give one of {', '.join(STORES)}", field="type", line=root.line)
        return None
    try:
        return _TYPE.read(node, report)
    except Refused as refused:
        report.add(node, refused.message)
        return None


def _check(given: Given, section: Section, report: Report) -> None:
    for key in section.keys:
        if key.default == "required":
            require(given, key.name, "Give it in the file", report)
    credentials = given.section("credentials")
    if credentials.has("environment") and credentials.has("file"):
        report.add(credentials.at("file"), "environment and file exclude each other; give one")


def _placed(given: Given, document: Opened) -> dict[str, Any]:
    found = given.plain()
    if given.get("type", "") == "local" and given.sound("path"):
        try:
            found["path"] = _folder(given.get("path", ""), document.folder)
        except Refused as refused:
            document.report.add(given.at("path"), refused.message)
    return found


def _folder(text: str, folder: str | None) -> str:
    if paths.is_address(text):
        raise Refused("an address is no folder; give type: s3, gcs, azure_blob or azure_data_lake_gen2")
    return paths.placed(text, folder)
