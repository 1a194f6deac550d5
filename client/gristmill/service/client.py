"""The Python client of a Gristmill server, in the shape of Azure's MLClient."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from gristmill.service.batch_deployments import BatchDeployments
from gristmill.service.batch_endpoints import BatchEndpoints
from gristmill.service.compute import Computes
from gristmill.service.connection import find_server
from gristmill.service.data import Data
from gristmill.service.datastores import Datastores
from gristmill.service.environments import Environments
from gristmill.service.http import Http, Retries
from gristmill.service.job_operations import Jobs
from gristmill.service.models import Models
from gristmill.service.resource import Resource
from gristmill.service.tokens import Tokens
from gristmill.service.uploads import Progress, Uploads
from gristmill.settings import ProcessSettings


class Client:
    """A server, with what can be done there in groups: `client.batch_endpoints.invoke("digits", input="images/")`.

    Without arguments it is the one that GRISTMILL_URL, `gristmill login` or a `gristmill up` on this machine names.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        ca_file: str | None = None,
        progress: Progress | None = None,
        settings: ProcessSettings | None = None,
        retries: Retries | None = None,
    ) -> None:
        """Find the server; nothing is sent yet.

        Args:
            url: its address, as http://host:port.
            token: for it; None: the one that is known for that address.
            ca_file: file of certificates to trust, for a server with one of its own making.
            progress: called with bytes sent and bytes in all while files are uploaded.
            settings: the process's; None: they are read from the environment.
            retries: how long a server that does not answer is asked again.

        Raises:
            Mistake: there is no server, or what names it cannot be used.

        """
        connection = find_server(url, token, ca_file=ca_file, settings=settings)
        self._http = http = Http(connection, retries=retries)
        self._uploads = uploads = Uploads(http, progress=progress)
        self.jobs = Jobs(http, uploads)
        self.batch_endpoints = BatchEndpoints(http, uploads, self.jobs)
        self.batch_deployments = BatchDeployments(http, uploads, self.jobs)
        self.models = Models(http, uploads)
        self.data = Data(http, uploads)
        self.environments = Environments(http, uploads)
        self.datastores = Datastores(http, uploads)
        self.compute = Computes(http, uploads)
        self.tokens = Tokens(http)

    @property
    def url(self) -> str:
        """The server's address."""
        return self._http.url

    def status(self) -> Resource:
        """Return nodes, queues, and jobs by status, as the server sees them."""
        return Resource(self._http.get("/status").document)

    def info(self) -> Resource:
        """Return the server's version, and whom it takes the caller for."""
        return Resource(self._uploads.info())

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def __enter__(self) -> Self:
        """Return the client, to be closed at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def __repr__(self) -> str:
        """Return the server's address, without the token."""
        return f"<gristmill.Client {self.url}>"
