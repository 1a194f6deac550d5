"""Every command of the command line."""

from __future__ import annotations

from typing import Final

from gristmill.cli import (
    batch_deployment,
    batch_endpoint,
    compute,
    configure,
    data,
    datastore,
    endpoint,
    environment,
    job,
    login,
    model,
    node,
    run,
    status,
    token,
    up,
    version,
)

#: The modules of the commands that `az ml` has too, and of those that bring a server up and say which is meant; in the
#: order of the help and of their page.
SERVER_COMMANDS: Final = (
    batch_endpoint,
    batch_deployment,
    model,
    data,
    environment,
    datastore,
    compute,
    endpoint,
    configure,
    token,
    login,
    status,
    version,
    up,
)

#: The modules of all commands.
ALL: Final = (run, node, job, *SERVER_COMMANDS)
