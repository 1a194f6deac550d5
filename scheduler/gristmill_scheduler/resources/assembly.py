"""The resources of a workspace, made and wired in one place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gristmill_scheduler.resources.computes import Computes
from gristmill_scheduler.resources.data import Data
from gristmill_scheduler.resources.datastores import Datastores
from gristmill_scheduler.resources.deployments import Deployments
from gristmill_scheduler.resources.endpoints import Endpoints
from gristmill_scheduler.resources.environments import Environments
from gristmill_scheduler.resources.places import Places
from gristmill_scheduler.resources.preparing import PinModel, Preparation
from gristmill_scheduler.resources.references import References
from gristmill_scheduler.resources.roots import Roots
from gristmill_storage.reach import Reach
from gristmill_storage.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a server keeps, models apart: a registry has those."""

    endpoints: Endpoints
    deployments: Deployments
    data: Data
    environments: Environments
    datastores: Datastores
    computes: Computes
    references: References
    #: The folders of this machine that requests may name.
    roots: Roots


def make_resources(
    workspace: Workspace,
    *,
    allowed_roots: Sequence[Path] = (),
    reach: Reach | None = None,
    address: Callable[[], str] = str,
    pin_model: PinModel | None = None,
) -> Resources:
    """Return the resources of a workspace.

    Args:
        workspace: Where they are kept.
        allowed_roots: Folders of this machine that requests may name.
        reach: Which hosts addresses of requests may lead to; None: any.
        address: Tells this server's own address, without a slash at the end; "" while it has none.
        pin_model: Gives a model's reference a version that never changes; None where there is no registry.

    """
    roots = Roots(allowed_roots, workspace=workspace.url)
    datastores = Datastores(workspace, roots)
    places = Places(workspace, datastores, roots, reach)
    data = Data(workspace, places)
    references = References(places, data)
    environments = Environments(workspace)
    endpoints = Endpoints(workspace, address=address)
    computes = Computes(workspace)
    preparation = Preparation(references, environments, pin_model, reach)
    return Resources(
        endpoints=endpoints,
        deployments=Deployments(workspace, endpoints=endpoints, computes=computes, preparation=preparation),
        data=data,
        environments=environments,
        datastores=datastores,
        computes=computes,
        references=references,
        roots=roots,
    )
