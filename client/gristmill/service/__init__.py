"""The Python client of a server: what `gristmill.Client` is made of.

    connection   where the server is, and the token for it
    http         requests, tried again where that does no harm; errors in our words
    uploads      local files, brought to the server once
    resource     its documents as objects
    client       the groups of operations, a module each: batch_endpoints, batch_deployments, models, ...
    jobs         a job: wait, to_pandas, errors, download

It is imported when it is asked for: `import gristmill` does not wait for httpx.
"""

from gristmill.service.client import Client
from gristmill.service.jobs import ServiceJob
from gristmill.service.poller import Poller
from gristmill.service.resource import Resource
from gristmill.service.values import Input, Output

__all__ = ["Client", "Input", "Output", "Poller", "Resource", "ServiceJob"]
