"""What a server consists of, put together in one place: resources, jobs, and the application in front of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fastapi import FastAPI

from gristmill.settings import ProcessSettings
from gristmill_scheduler.http.app import build_app
from gristmill_scheduler.http.audit import AuditLog
from gristmill_scheduler.http.auth import Guard
from gristmill_scheduler.http.forwarded import Proxies
from gristmill_scheduler.http.registry_sign import RegistrySign
from gristmill_scheduler.http.routes_metrics import metrics_router
from gristmill_scheduler.http.services import About, Services
from gristmill_scheduler.jobs.catalog import Catalog
from gristmill_scheduler.jobs.routes import jobs_router
from gristmill_scheduler.jobs.service import PATIENCE_SECONDS, Jobs
from gristmill_scheduler.metrics.exporter import Bounds, Exporter, Sources
from gristmill_scheduler.resources.assembly import Resources, make_resources
from gristmill_scheduler.resources.models import Models
from gristmill_scheduler.resources.naming import Naming
from gristmill_storage.ledger import Ledger, Measures
from gristmill_storage.queue import Queue
from gristmill_storage.reach import Reach
from gristmill_storage.registration import Registry
from gristmill_storage.workspace import Workspace

#: Where the lines of the audit are, in a workspace on this machine.
AUDIT = "audit"


class Server:
    """A server, all but its socket."""

    def __init__(
        self,
        settings: ProcessSettings,
        workspace: Workspace,
        guard: Guard,
        *,
        about: About,
        allowed_roots: Sequence[Path] = (),
        proxies: Proxies | None = None,
        bounds: Bounds | None = None,
        unserved: Callable[[str], None] | None = None,
    ) -> None:
        """Put it together; nothing is begun yet.

        Args:
            settings: of the process.
            workspace: where all state is.
            guard: who finds out who asks.
            about: what the server says of itself.
            allowed_roots: folders of this machine that requests may name.
            proxies: whose word is taken for where requests come from.
            bounds: of which jobs metrics are told, and for how long.
            unserved: is told of a compute that jobs wait for and no node serves.

        """
        self._ledger = Ledger(settings.redis_url, patience=PATIENCE_SECONDS)
        self._queue = Queue(settings.redis_url)
        self._measures = Measures(settings.redis_url)
        uri = settings.environment.get("MLFLOW_TRACKING_URI", "")
        resources = make_resources(
            workspace,
            allowed_roots=allowed_roots,
            reach=Reach.read(settings.allow_hosts),
            address=about.address,
            # Models are made of what references lead to, and references to models are pinned by them.
            pin_model=(lambda reference: models.pin(reference)) if uri else None,  # noqa: PLW0108
        )
        self._registry = RegistrySign(uri)
        registry = Registry(uri)
        naming = Naming(workspace, resources.references, registry, uri=uri)
        models = Models(registry, locate=naming.locate_model)
        catalog = Catalog(deployments=resources.deployments, references=resources.references, naming=naming)
        self._jobs = Jobs(workspace, catalog, settings, unserved=unserved)
        services = self._services(workspace, resources, models)
        folder = workspace.store.local_path(AUDIT)
        self.app: FastAPI = build_app(
            services,
            guard,
            about=about,
            audit_log=AuditLog(folder),
            proxies=proxies,
            more=[jobs_router(self._jobs), metrics_router(self._exporter(bounds).write)],
        )

    def begin(self) -> None:
        """Begin to lead jobs."""
        self._jobs.start()

    def close(self) -> None:
        """Leave the jobs that are led here to others; takes a few seconds at most."""
        self._jobs.stop()
        self._queue.close()
        self._ledger.disconnect()
        self._measures.disconnect()

    def _exporter(self, bounds: Bounds | None) -> Exporter:
        sources = Sources(
            jobs=self._jobs.observed, ledger=self._measures, nodes=self._ledger.nodes, waiting=self._queue.length
        )
        return Exporter(sources, bounds)

    def _services(self, workspace: Workspace, resources: Resources, models: Models) -> Services:
        return Services(
            workspace=workspace,
            endpoints=resources.endpoints,
            deployments=resources.deployments,
            models=models,
            data=resources.data,
            environments=resources.environments,
            datastores=resources.datastores,
            computes=resources.computes,
            uploads=workspace.uploads,
            jobs=self._jobs,
            nodes=self._ledger.nodes,
            waiting=self._queue.length,
            registry=self._registry,
        )
