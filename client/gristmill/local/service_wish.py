"""What the user of `gristmill up` wants, and the environment that follows from it for the processes of the server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from gristmill.settings import ProcessSettings

#: The compute that the node serves.
COMPUTE: Final = "local"

#: The port that is taken unless another is wanted, or it is taken.
PORT: Final = 8890

#: Seconds that a node which is to leave gives to what is being scored, unless the environment says otherwise.
GRACE_SECONDS: Final = 4

#: What only commands read.
_OF_COMMANDS: Final = frozenset({"GRISTMILL_URL", "GRISTMILL_TOKEN"})

#: MLflow's own variable for where a database's runs keep their files.
_ARTIFACTS: Final = "_MLFLOW_SERVER_ARTIFACT_ROOT"

#: What a registry of models in a file needs.
_REGISTRY_MODULES: Final = ("mlflow", "sqlalchemy", "alembic")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the user of `gristmill up` wants."""

    workspace: Path
    host: str = "127.0.0.1"
    #: None: `PORT` if that is free, else any.
    port: int | None = None
    #: Instances that the node runs at a time.
    slots: int = 1
    #: Folders that requests may name paths in.
    allow_roots: tuple[str, ...] = ()
    #: Hosts of this network that web addresses of requests may lead to.
    allow_hosts: tuple[str, ...] = ()
    #: Seconds that a job has a place before one that waits may have it; None: as the environment says.
    slice_seconds: float | None = None
    #: Files of the certificate and its key, PEM; "": without TLS.
    tls_cert: str = ""
    tls_key: str = ""
    #: Address that clients use, where a proxy stands before the server; "": its own.
    public_url: str = ""
    #: Addresses and networks whose word is taken for where a request came from.
    trusted_proxies: tuple[str, ...] = ()
    #: Whose tokens are taken too; "": nobody's.
    oidc_issuer: str = ""
    oidc_audience: str = ""
    oidc_roles_claim: str = ""

    def to_json(self) -> str:
        """Return it as it travels to the daemon."""
        return json.dumps({**vars(self), "workspace": str(self.workspace)})

    @classmethod
    def from_json(cls, text: str) -> Wish:
        """Return what `to_json` was made of."""
        given = json.loads(text)
        texts = {name: tuple(value) for name, value in given.items() if isinstance(value, list)}
        return cls(**{**given, **texts, "workspace": Path(given["workspace"])})

    def scheduler_arguments(self, *, port: int, token_file: Path) -> list[str]:
        """Return the arguments of the scheduler that serves it."""
        given = {
            "--slice-seconds": "" if self.slice_seconds is None else f"{self.slice_seconds:g}",
            "--tls-cert": self.tls_cert,
            "--tls-key": self.tls_key,
            "--public-url": self.public_url,
            "--oidc-issuer": self.oidc_issuer,
            "--oidc-audience": self.oidc_audience,
            "--oidc-roles-claim": self.oidc_roles_claim,
        }
        lists = [
            ("--allow-root", self.allow_roots),
            ("--allow-host", self.allow_hosts),
            ("--trusted-proxy", self.trusted_proxies),
        ]
        return [
            *("--host", self.host, "--port", str(port), "--workspace", str(self.workspace)),
            *(word for name, values in lists for value in values for word in (name, value)),
            *(word for name, value in given.items() if value for word in (name, value)),
            *("--token-file", str(token_file), "--owned"),
        ]


def environment_of(settings: ProcessSettings, workspace: Path) -> Mapping[str, str]:
    """Return the environment of the server's processes: the user's, with a registry of models of the workspace's own.

    Without the token that the user's commands have for another server.
    """
    given = {name: value for name, value in settings.environment.items() if name not in _OF_COMMANDS}
    defaults = {"GRISTMILL_GRACE_SECONDS": str(GRACE_SECONDS)}
    if _can_register() and not given.get("MLFLOW_TRACKING_URI"):
        defaults["MLFLOW_TRACKING_URI"] = f"sqlite:///{workspace / 'mlflow' / 'mlflow.db'}"
        # Else the files of runs would lie in whichever folder a process happens to stand.
        defaults[_ARTIFACTS] = str(workspace / "mlflow" / "artifacts")
    return {**defaults, **{name: value for name, value in given.items() if value or name not in defaults}}


def models_of(settings: ProcessSettings, workspace: Path) -> str:
    """Return in words where models are registered."""
    if settings.environment.get("MLFLOW_TRACKING_URI"):
        return "in the registry that MLFLOW_TRACKING_URI names"
    if _can_register():
        return f"in a registry at {workspace / 'mlflow'}"
    return "by their paths only: no registry (pip install 'gristmill[registry]', or set MLFLOW_TRACKING_URI)"


def _can_register() -> bool:
    return all(find_spec(module) for module in _REGISTRY_MODULES)
