"""The protocol of the servers that keep a workspace, written into it: one that is too old keeps away from it."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

import gristmill
from gristmill import versions
from gristmill.errors import Conflict, Mistake, PreconditionFailed
from gristmill_storage.workspace import Workspace

#: Where it stands: collection and name.
COLLECTION: Final = "servers"
NAME: Final = "protocol"


def keep(workspace: Workspace) -> None:
    """Note that a server of this version keeps a workspace; it stays that of the newest that ever did.

    Older documents are read for ever, so a workspace is never too old.

    Raises:
        Mistake: a server kept it that is more than one protocol ahead.

    """
    documents = workspace.documents(COLLECTION)
    found = documents.find(NAME)
    theirs = versions.protocol_of(found.body) if found else 0
    if theirs > versions.PROTOCOL + 1:
        assert found is not None
        raise Mistake(
            f"--workspace {workspace.url}: Gristmill {found.body.get('version')} kept it (protocol {theirs}), and this "
            f"one is {gristmill.__version__} (protocol {versions.PROTOCOL}): upgrade this server"
        )
    if theirs < versions.PROTOCOL:
        body = {"protocol": versions.PROTOCOL, "version": gristmill.__version__}
        # Who was faster is a server that was just begun, too: it looked, as this one did.
        with suppress(Conflict, PreconditionFailed):
            documents.put(NAME, body, expected=found.version if found else 0)
