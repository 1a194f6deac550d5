"""The Python client of a server: what `gristmill.Client` is made of.

    connection   where the server is, and the token for it
    http         requests, tried again where that does no harm; errors in our words
    uploads      local files, brought to the server once
    resource     its documents as objects
    client       the groups of operations, a module each: batch_endpoints, batch_deployments, models, ...
    jobs         a job: wait, to_pandas, errors, download

Each of its names is imported when it is first asked for: who only wants to know where a server is does not wait for
httpx, a quarter of a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from gristmill.service.client import Client
    from gristmill.service.jobs import ServiceJob
    from gristmill.service.poller import Poller
    from gristmill.service.resource import Resource
    from gristmill.service.values import Input, Output

_LATER: Final = {
    "Client": "gristmill.service.client",
    "Input": "gristmill.service.values",
    "Output": "gristmill.service.values",
    "Poller": "gristmill.service.poller",
    "Resource": "gristmill.service.resource",
    "ServiceJob": "gristmill.service.jobs",
}

__all__ = ["Client", "Input", "Output", "Poller", "Resource", "ServiceJob"]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module 'gristmill.service' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_LATER[name]), name)
    return value
