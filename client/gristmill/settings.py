"""The settings of a process, read once at its door from the environment and handed down from there.

No other module reads the environment. `NAMES` is the whole list, with its documentation.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from gristmill.errors import InvalidSetting

#: Every variable that Gristmill reads, and what it means.
NAMES: Final[dict[str, str]] = {
    "GRISTMILL_REDIS_URL": "A Redis-compatible server to use instead of the embedded one (redis://, rediss://, unix://).",
    "GRISTMILL_CACHE": "Folder of built environments and prepared models; default: ~/.cache/gristmill.",
    "GRISTMILL_SCRATCH": "Folder of what lives as long as a job; default: the system's temporary folder.",
    "GRISTMILL_LEASE_SECONDS": "Seconds until a silent instance's work goes to others; 2 to 600, default 15.",
    "GRISTMILL_GRACE_SECONDS": "Seconds that a leaving node gives to what is being scored; 0 to 3600, default 20.",
    "GRISTMILL_KEEP_SCORERS_SECONDS": (
        "Seconds that a node keeps the scorers of a server's job, with their model, for the next job of the same "
        "deployment; 0 to 86400, default 300; 0: none are kept."
    ),
    "GRISTMILL_SLICE_SECONDS": (
        "Seconds that a job has a place of a shared compute before one that waits may have it; 1 to 86400, default 30."
    ),
    "GRISTMILL_NODE_NAME": "This machine's name in logs and listings; default: the host name.",
    "GRISTMILL_STORAGE_PATIENCE_SECONDS": (
        "Seconds that a job waits for storage that fails (a full disk, a lost server); 0 to 86400, default 60."
    ),
    "GRISTMILL_PULSE_FILE": "File that a node renews, for `gristmill node --probe`; default: none.",
    "GRISTMILL_URL": "Address of the server that commands ask, as http://host:port; default: that of gristmill up.",
    "GRISTMILL_TOKEN": "Token for that server.",
    "GRISTMILL_WORKSPACE": "Folder or URL of what a server keeps; default: ~/.local/share/gristmill/workspace.",
    "GRISTMILL_KEEP_INPUTS_DAYS": (
        "Days that a server keeps what was uploaded when no deployment, model, data asset or job needs it any more; "
        "0: for ever; default 30."
    ),
    "GRISTMILL_SECRETS": "Folder of the files that datastores' credentials name; default: ~/.config/gristmill/secrets.",
    "GRISTMILL_ALLOW_HOSTS": (
        "Hosts of its network that a server's jobs may read web addresses from, beside public ones: names, addresses, "
        "networks, with commas between; default: none."
    ),
    "GRISTMILL_TRACKING": "off: a server's jobs are no MLflow runs, though MLFLOW_TRACKING_URI is set; default: on.",
    "GRISTMILL_LOG_FORMAT": "human or json: the form of every process's log on stderr; default: human.",
    "GRISTMILL_LOG_LEVEL": "debug, info, warning or error: what is logged at least; default: info.",
    "GRISTMILL_PYTHONS": "Folders or interpreters (separated as in PATH) searched first for a Python version.",
}

#: What the address of a Redis-compatible server may begin with.
_REDIS_SCHEMES: Final = frozenset({"redis", "rediss", "unix"})

#: Seconds without a sign of life after which an instance's leases are given to others.
DEFAULT_LEASE_SECONDS: Final = 15.0

#: Seconds that running mini-batches are given when their node is told to leave.
DEFAULT_GRACE_SECONDS: Final = 20.0

#: Seconds that an instance has its place at least, when other jobs wait for it.
DEFAULT_SLICE_SECONDS: Final = 30.0
SLICE_BOUNDS: Final = (1, 86400)

#: Seconds that scorers are kept: an upload and a look at the results lie between two jobs of one user, and a model's
#: memory should not be held over lunch.
DEFAULT_KEEP_SCORERS_SECONDS: Final = 300.0

#: Days that uploaded inputs are kept after the jobs that read them are over.
DEFAULT_KEEP_DAYS: Final = 30.0

#: Seconds that a job which runs waits for storage to be mended, before it fails.
DEFAULT_STORAGE_PATIENCE_SECONDS: Final = 60.0


@dataclass(frozen=True, kw_only=True)
class ProcessSettings:
    """What the environment says to this process."""

    #: "" where the embedded server is to be used.
    redis_url: str
    cache: Path
    #: None: the system's temporary folder.
    scratch: Path | None
    lease_seconds: float
    #: How long storage that fails is waited for.
    storage_patience: float
    node_name: str
    #: Folders or interpreters searched first for a Python version.
    pythons: tuple[str, ...]
    #: The environment itself, for the processes that this one starts.
    environment: Mapping[str, str] = field(repr=False)
    #: Address of the server that commands speak to; "": that of `gristmill up`, if there is one.
    url: str = ""
    #: Token for that server; never shown.
    token: str = field(default="", repr=False)
    #: Folder or URL of what a server keeps.
    workspace: str = ""
    #: Folder of what this user's commands keep: a login, defaults.
    config: Path = field(default_factory=Path)
    #: Days that a server keeps what was uploaded and nothing needs any more; 0: for ever.
    keep_inputs_days: float = DEFAULT_KEEP_DAYS
    #: Hosts of its network that a server's jobs may read web addresses from, beside public ones.
    allow_hosts: tuple[str, ...] = ()
    #: Whether jobs become MLflow runs where MLFLOW_TRACKING_URI says where those are.
    tracking: bool = True
    #: File that a node renews while it looks for work; None: nowhere.
    pulse_file: Path | None = None
    #: Seconds that running mini-batches are given when the node is told to leave.
    grace_seconds: float = DEFAULT_GRACE_SECONDS
    #: Seconds that an instance has its place at least, when other jobs wait for it.
    slice_seconds: float = DEFAULT_SLICE_SECONDS
    #: Seconds that scorers of a server's jobs are kept when their job is over; 0: not at all.
    keep_scorers_seconds: float = DEFAULT_KEEP_SCORERS_SECONDS
    #: human | json
    log_format: str = "human"
    #: debug | info | warning | error; "": as the process likes.
    log_level: str = ""
    #: Whether OpenTelemetry's standard variables ask for traces.
    traces: bool = False

    @classmethod
    def read(cls, environment: Mapping[str, str] | None = None) -> ProcessSettings:
        """Read the process's environment (or the one given).

        Raises:
            InvalidSetting: a variable's value cannot be used; the message names it.

        """
        given = dict(os.environ if environment is None else environment)
        scratch = given.get("GRISTMILL_SCRATCH", "")
        pythons = given.get("GRISTMILL_PYTHONS", "")
        pulse = given.get("GRISTMILL_PULSE_FILE", "")
        return cls(
            redis_url=_redis(given),
            cache=Path(given.get("GRISTMILL_CACHE") or _default_cache(given)).expanduser(),
            scratch=Path(scratch).expanduser() if scratch else None,
            lease_seconds=_seconds(given, "GRISTMILL_LEASE_SECONDS", DEFAULT_LEASE_SECONDS, 2, 600),
            storage_patience=_seconds(
                given, "GRISTMILL_STORAGE_PATIENCE_SECONDS", DEFAULT_STORAGE_PATIENCE_SECONDS, 0, 86400
            ),
            grace_seconds=_seconds(given, "GRISTMILL_GRACE_SECONDS", DEFAULT_GRACE_SECONDS, 0, 3600),
            slice_seconds=_seconds(given, "GRISTMILL_SLICE_SECONDS", DEFAULT_SLICE_SECONDS, *SLICE_BOUNDS),
            node_name=given.get("GRISTMILL_NODE_NAME") or os.uname().nodename,
            keep_scorers_seconds=_seconds(
                given, "GRISTMILL_KEEP_SCORERS_SECONDS", DEFAULT_KEEP_SCORERS_SECONDS, 0, 86400
            ),
            url=given.get("GRISTMILL_URL", ""),
            token=given.get("GRISTMILL_TOKEN", ""),
            workspace=given.get("GRISTMILL_WORKSPACE") or _default_workspace(given),
            config=_config(given),
            pulse_file=Path(pulse) if pulse else None,
            keep_inputs_days=_seconds(given, "GRISTMILL_KEEP_INPUTS_DAYS", DEFAULT_KEEP_DAYS, 0, 36500, of="days"),
            allow_hosts=tuple(given.get("GRISTMILL_ALLOW_HOSTS", "").replace(",", " ").split()),
            tracking=_switch(given, "GRISTMILL_TRACKING"),
            log_format=_choice(given, "GRISTMILL_LOG_FORMAT", "human", "json") or "human",
            log_level=_choice(given, "GRISTMILL_LOG_LEVEL", "debug", "info", "warning", "error"),
            traces=_traces(given),
            pythons=tuple(part for part in pythons.split(os.pathsep) if part),
            environment=given,
        )


def secrets_folder() -> Path:
    """Return the folder of the files that hold secrets of stores, on this machine."""
    return Path(os.environ.get("GRISTMILL_SECRETS") or _config(os.environ) / "secrets").expanduser()


def variable(name: str) -> str:
    """Return what a variable holds that a datastore names; "" where there is none."""
    return os.environ.get(name, "")


def machine() -> str:
    """Return this machine's name in messages."""
    return os.environ.get("GRISTMILL_NODE_NAME") or os.uname().nodename


def _redis(environment: Mapping[str, str]) -> str:
    """Return the address of a Redis-compatible server; one that cannot be any is refused without its password."""
    url = environment.get("GRISTMILL_REDIS_URL", "")
    try:
        parts = urlsplit(url)
        usable = not url or (parts.scheme in _REDIS_SCHEMES and (parts.port or 0) >= 0)
    except ValueError:  # a port that is none, brackets that are not closed
        usable = False
    if not usable:
        shown = url.rpartition("@")[2].partition("?")[0]
        message = f"GRISTMILL_REDIS_URL={shown}: give redis://host:port/0, rediss://host:port/0 or unix:///path"
        raise InvalidSetting(message)
    return url


def _default_cache(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CACHE_HOME") or str(Path(environment.get("HOME") or "~") / ".cache")
    return Path(base) / "gristmill"


def _default_workspace(environment: Mapping[str, str]) -> str:
    base = environment.get("XDG_DATA_HOME") or str(Path(environment.get("HOME") or "~", ".local", "share"))
    return str(Path(base, "gristmill", "workspace").expanduser())


def _config(environment: Mapping[str, str]) -> Path:
    base = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME") or "~", ".config"))
    return Path(base, "gristmill").expanduser()


def _switch(environment: Mapping[str, str], name: str) -> bool:
    return _choice(environment, name, "on", "off") != "off"


def _choice(environment: Mapping[str, str], name: str, *choices: str) -> str:
    text = environment.get(name, "").lower()
    if text and text not in choices:
        message = f"{name}={text}: give {', '.join(choices[:-1])} or {choices[-1]}"
        raise InvalidSetting(message)
    return text


def _traces(environment: Mapping[str, str]) -> bool:
    """Return whether traces are asked for: never by default, though the standard would send them to this machine."""
    wanted = environment.get("OTEL_TRACES_EXPORTER", "").strip()
    if wanted == "none" or environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    endpoints = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
    return bool(wanted or any(environment.get(name, "").strip() for name in endpoints))


def _seconds(
    environment: Mapping[str, str], name: str, default: float, least: float, most: float, *, of: str = "seconds"
) -> float:
    text = environment.get(name, "")
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        message = f"{name}={text}: give a number of {of} from {least:g} to {most:g}"
        raise InvalidSetting(message)
    return value
