"""/health, /info and /status: whether the server lives, what it is, and what goes on."""

from __future__ import annotations

import logging
from typing import Any, Final

from fastapi import APIRouter
from pydantic import BaseModel

import gristmill
from gristmill import versions
from gristmill.errors import JobNotFound, LedgerFailed
from gristmill.machine import machine_id
from gristmill_scheduler.http.auth import READER, Caller
from gristmill_scheduler.http.principal import Principal
from gristmill_scheduler.http.services import About, JobsOf, Services
from gristmill_scheduler.jobs.waiting import misfit

#: Version of these routes; a client that knows another one says so.
API: Final = 1

log = logging.getLogger("gristmill.http")


class Health(BaseModel):
    """That the server answers."""

    status: str


class Info(BaseModel):
    """What the server is, and who asks."""

    version: str
    #: Version of what processes of a cluster say to each other: neighbours work together.
    protocol: int
    api: int
    #: The same on every process of one machine; "": it cannot be told.
    machine: str
    #: What the caller is called.
    user: str
    #: The caller's role; null: none.
    role: str | None
    #: Folders of the server's machine whose files a request may name.
    allowed_roots: list[str]


class Waiting(BaseModel):
    """A compute's queue."""

    compute: str
    #: Instances that no node has taken yet.
    waiting: int


class RegistryState(BaseModel):
    """The registry of models, which is also where jobs are tracked."""

    #: Without what is secret in it.
    address: str
    #: Whether it answered when it was last looked at; null: that is not known.
    answers: bool | None


class Status(BaseModel):
    """What goes on."""

    #: Of this server.
    version: str
    #: Version of what processes of a cluster say to each other: neighbours work together.
    protocol: int
    #: What each node that lives says of itself; `problem` says why one cannot work for this server.
    nodes: list[dict[str, Any]]
    queues: list[Waiting]
    #: How many jobs have each status.
    jobs: dict[str, int]
    workspace: str
    #: Whether the Redis server answers.
    redis: bool
    #: null: there is none.
    registry: RegistryState | None


def status_router(services: Services, about: About) -> APIRouter:
    """Return the routes that tell of the server."""
    router = APIRouter(tags=["server"])

    @router.get("/health", operation_id="health", response_model=Health)
    async def health() -> Any:
        """Tell that the server answers; needs no token."""
        return {"status": "ok"}

    @router.get("/info", operation_id="info", dependencies=[READER], response_model=Info)
    def info(caller: Caller) -> Any:
        """Tell what the server is, and who asks."""
        return {
            "version": gristmill.__version__,
            "protocol": versions.PROTOCOL,
            "api": API,
            "machine": machine_id(),
            "user": caller.name,
            "role": caller.role,
            "allowed_roots": list(about.allowed_roots),
        }

    @router.get("/status", operation_id="status", dependencies=[READER], response_model=Status)
    def status(caller: Caller) -> Any:
        """Tell which nodes live, what waits, and how many jobs there are in each status."""
        nodes, queues, redis = _ledger_side(services)
        jobs = services.jobs.counts(caller.sees)
        shown = nodes if caller.everywhere else [_hide(node, services.jobs, caller) for node in nodes]
        return {
            "version": gristmill.__version__,
            "protocol": versions.PROTOCOL,
            "nodes": [_judged(node) for node in shown],
            "queues": queues,
            "jobs": jobs,
            "workspace": services.workspace.url,
            "redis": redis,
            "registry": services.registry(),
        }

    return router


def _judged(node: dict[str, Any]) -> dict[str, Any]:
    """Return what a node says of itself, with what is wrong with it, if anything is."""
    problem = misfit(node) or str(node.get("refuses") or "")
    return {**node, "problem": problem} if problem else node


def _hide(node: dict[str, Any], jobs: JobsOf, caller: Principal) -> dict[str, Any]:
    """Return what a node says of itself without the names of jobs that a caller does not see."""

    def sees(job: object) -> bool:
        try:
            return caller.sees(jobs.endpoint_of(str(job)))
        except JobNotFound:
            return False

    node = {name: value for name, value in node.items() if name != "refuses"}  # it names a job
    running = node.get("running")
    if not isinstance(running, list):
        return node
    return {**node, "running": [job if job is None or sees(job) else "another endpoint's" for job in running]}


def _ledger_side(services: Services) -> tuple[list[dict[str, Any]], list[dict[str, Any]], bool]:
    """Return nodes and queues, and whether the Redis server answered; nothing of either where it did not."""
    try:
        nodes = services.nodes()
        computes = {str(node["compute"]) for node in nodes if node.get("compute")}
        computes |= {str(each.document["name"]) for each in services.computes.list()}
        return nodes, [{"compute": name, "waiting": services.waiting(name)} for name in sorted(computes)], True
    except LedgerFailed as error:
        log.warning("the Redis server does not answer: %s", error)
        return [], [], False
