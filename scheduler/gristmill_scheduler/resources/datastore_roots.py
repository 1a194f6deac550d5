"""From a datastore's document to the address of its root.

    azure_blob              account_name, container_name     abfs://<container>@<account>.dfs.core.windows.net
    azure_data_lake_gen2    account_name, filesystem         the same
    s3, gcs                 bucket, prefix                   s3://<bucket>/<prefix>, gs://<bucket>/<prefix>
    local                   path                             a folder of this machine, inside the allowed ones

`azure_file` is refused: there is no driver for such shares, but a mounted one is a local folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from gristmill.deployment import messages
from gristmill.errors import Mistake
from gristmill_scheduler.resources.faults import fault
from gristmill_scheduler.resources.roots import Roots
from gristmill_storage.store import checked

#: What can stand in an address' host without changing what it means.
_WORD: Final = re.compile(r"[A-Za-z0-9$][A-Za-z0-9._$-]{0,254}")
_WORDS: Final = ("account_name", "container_name", "filesystem", "bucket", "endpoint")

_ENDPOINT: Final = "core.windows.net"
_BUCKETS: Final = {"s3": "s3", "gcs": "gs"}


def root_of(document: Mapping[str, Any], *, source: str, roots: Roots) -> str:
    """Return the address of a datastore's root.

    Raises:
        Forbidden: a local folder is not inside the allowed ones.
        InvalidDocument: the document cannot be used.

    """
    kind = document["type"]
    for key in _WORDS:
        if key in document and not _WORD.fullmatch(document[key]):
            raise fault(source, key, f"{messages.PATTERN} Give the name alone, without slashes and '@'")
    if kind == "azure_file":
        raise fault(
            source,
            "type",
            "there is no driver for Azure file shares; mount the share on all nodes, and give type: local and its path",
        )
    if kind == "local":
        return roots.place(document["path"], reading=False)
    if kind in _BUCKETS:
        return f"{_BUCKETS[kind]}://{document['bucket']}/{_prefix(document, source)}".rstrip("/")
    container = document["container_name" if kind == "azure_blob" else "filesystem"]
    return f"abfs://{container}@{document['account_name']}.dfs.{document.get('endpoint', _ENDPOINT)}"


def _prefix(document: Mapping[str, Any], source: str) -> str:
    prefix: str = document.get("prefix", "").strip("/")
    try:
        return checked(prefix) if prefix else ""
    except Mistake as error:
        raise fault(source, "prefix", error.message) from None
