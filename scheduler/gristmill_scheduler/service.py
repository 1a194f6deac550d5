"""The server: a scheduler with an HTTP side, over a workspace and a Redis-compatible server.

    python -m gristmill_scheduler.service --workspace FOLDER --port 8890 --token-file FOLDER/run/token

It prints a JSON line on stdout when it listens, and its log on stderr. SIGTERM, or with `--owned` the end of stdin,
ends it within seconds; the jobs that it leads are left to the next one. Its owner is told of computes that jobs wait
for and no node serves.
"""

from __future__ import annotations

import sys

from gristmill.local.owner import end_with_owner

if __name__ == "__main__" and "--owned" in sys.argv:
    # Before anything that takes time is imported.
    end_with_owner()

import argparse
import json
import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from gristmill import log_lines, tracing
from gristmill.errors import GristmillError, Mistake
from gristmill.local.owner import allow
from gristmill.settings import SLICE_BOUNDS, ProcessSettings
from gristmill_scheduler.http.auth import Guard
from gristmill_scheduler.http.forwarded import Proxies
from gristmill_scheduler.http.listening import (
    LEAVE_SECONDS,
    Certificate,
    Listener,
    address_of,
    bind,
    check_insecure,
    ended_by,
)
from gristmill_scheduler.http.oidc import Oidc, OidcSettings
from gristmill_scheduler.http.services import MOST_UPLOAD_BYTES, About
from gristmill_scheduler.http.token_file import keep_token_file
from gristmill_scheduler.http.tokens import Tokens
from gristmill_scheduler.metrics.exporter import Bounds
from gristmill_scheduler.server import Server
from gristmill_storage.files import excludes, normalize, open_store
from gristmill_storage.workspace import Workspace, protocol

DEFAULT_PORT: Final = 8890

_EXAMPLE: Final = """
example:
  export GRISTMILL_REDIS_URL=redis://localhost:6379/0
  python -m gristmill_scheduler.service --workspace /srv/gristmill --host 0.0.0.0 --port 8890 \\
      --tls-cert server.pem --tls-key server.key --token-file /srv/gristmill/run/token --allow-root /data
"""

log = logging.getLogger("gristmill.service")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line asks for."""

    host: str
    port: int
    #: A folder or a URL.
    workspace: str
    #: Folders of this machine whose files a request may name.
    allowed_roots: tuple[Path, ...]
    #: Hosts of this network that web addresses of requests may lead to, beside those of the settings.
    allow_hosts: tuple[str, ...]
    insecure_local: bool
    certificate: Certificate | None
    #: Address that clients use; "": the one that is listened at.
    public_url: str
    #: Whose word is taken for where a request came from, and at which address.
    proxies: Proxies
    #: Where the first owner's token is kept; None: nowhere.
    token_file: Path | None
    oidc: OidcSettings | None
    most_upload_bytes: int
    #: Which jobs have metrics, and for how long.
    bounds: Bounds
    #: Seconds that an instance has its place at least, when other jobs wait for it; None: as the settings say.
    slice_seconds: float | None
    #: Whether the end of stdin ends the server.
    owned: bool

    def check(self) -> None:
        """Refuse what would be dangerous, or cannot work.

        Raises:
            Mistake: it is that.

        """
        if self.insecure_local:
            check_insecure(self.host)
            if self.proxies:
                raise Mistake(
                    "--insecure-local, --trusted-proxy: everyone behind the proxy would be an owner; give one"
                )
        if self.certificate is not None:
            self.certificate.check()


def read_options(arguments: Sequence[str] | None, *, workspace: str) -> Options:
    """Return what the command line asks for; `workspace` is the one that the settings name.

    Raises:
        Mistake: it cannot be used.

    """
    given = _parser(workspace).parse_args(arguments)
    return Options(
        host=given.host,
        port=given.port,
        workspace=normalize(given.workspace, Path.cwd()),
        allowed_roots=tuple(Path(root).absolute() for root in given.allow_root),
        allow_hosts=tuple(given.allow_host),
        insecure_local=given.insecure_local,
        certificate=_certificate(given.tls_cert, given.tls_key),
        public_url=given.public_url.rstrip("/"),
        proxies=Proxies.read(given.trusted_proxy),
        token_file=given.token_file,
        oidc=_oidc(given),
        most_upload_bytes=given.most_upload_bytes,
        bounds=_bounds(given),
        slice_seconds=_slice(given.slice_seconds),
        owned=given.owned,
    )


def _parser(workspace: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gristmill_scheduler.service",
        description="Serve endpoints, deployments and jobs over HTTP; lead the jobs.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen at (default: %(default)s, this machine alone)")
    add("--port", type=int, default=DEFAULT_PORT, help="0: any that is free (default: %(default)s)")
    add("--workspace", default=workspace, metavar="FOLDER", help="folder or URL of all state (default: %(default)s)")
    _add_places(parser)
    add("--insecure-local", action="store_true", help="ask for no token; only with a loopback address")
    add("--tls-cert", type=Path, metavar="FILE", help="certificate and its chain, PEM")
    add("--tls-key", type=Path, metavar="FILE", help="the certificate's key, PEM")
    add("--public-url", default="", metavar="URL", help="address that clients use, where a proxy stands before this")
    add(
        "--trusted-proxy",
        nargs="+",
        action="extend",
        default=[],
        metavar="ADDRESS",
        help="take the word of these proxies (addresses or networks) for who asks, and at which address",
    )
    add("--token-file", type=Path, metavar="FILE", help="if it is not there: make an owner's token and write it there")
    add("--oidc-issuer", default="", metavar="URL", help="take tokens of this identity provider too")
    add("--oidc-audience", default="", metavar="TEXT", help="what such a token must name in its claim aud")
    add("--oidc-roles-claim", default="roles", metavar="CLAIM", help="claim with gristmill.reader, .invoker or .owner")
    add(
        "--most-upload-bytes",
        type=int,
        default=MOST_UPLOAD_BYTES,
        metavar="N",
        help="bytes of one upload (default: %(default)s)",
    )
    _add_bounds(parser)
    add(
        "--slice-seconds",
        type=float,
        metavar="SECONDS",
        help="that a job has a place before one that waits may have it (default: GRISTMILL_SLICE_SECONDS, or 30)",
    )
    add("--owned", action="store_true", help="end when stdin ends")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the server until it is told to leave."""
    allow(LEAVE_SECONDS)
    try:
        settings = ProcessSettings.read()
        log_lines.begin("service", settings)
        tracing.begin("service", settings)
        options = read_options(arguments, workspace=settings.workspace)
        options.check()
        if not settings.redis_url:
            raise Mistake("GRISTMILL_REDIS_URL is not set; give the address of the Redis server of the cluster")
        settings = replace(settings, allow_hosts=(*settings.allow_hosts, *options.allow_hosts))
        if options.slice_seconds is not None:
            settings = replace(settings, slice_seconds=options.slice_seconds)
        serve(options, settings)
    except GristmillError as error:
        log_lines.say(error)
        return error.exit_code
    finally:
        tracing.end()
    return 0


def serve(options: Options, settings: ProcessSettings) -> None:
    """Serve until told to leave.

    Raises:
        GristmillError: it cannot begin.

    """
    workspace = open_workspace(options.workspace)
    tokens = Tokens(workspace.documents("tokens"))
    _check_entrance(options, tokens)
    with bind(options.host, options.port) as bound:
        tls = options.certificate is not None
        url = address_of(bound, host=options.host, tls=tls, machine=settings.node_name)
        about = About(
            url=options.public_url or url,
            fixed=bool(options.public_url),
            allowed_roots=tuple(map(str, options.allowed_roots)),
            most_upload_bytes=options.most_upload_bytes,
        )
        oidc = Oidc(options.oidc) if options.oidc else None
        guard = Guard(tokens, oidc=oidc, insecure_local=options.insecure_local)
        server = Server(
            settings,
            workspace,
            guard,
            about=about,
            allowed_roots=options.allowed_roots,
            proxies=options.proxies,
            bounds=options.bounds,
            unserved=_tell_unserved if options.owned else None,
        )
        listener = Listener(server.app, certificate=options.certificate, ready=lambda: _tell(url))
        with ended_by(listener.leave, owned=options.owned):
            server.begin()
            try:
                listener.run(sockets=[bound])
            finally:
                server.close()
    log.info("left")


def open_workspace(url: str) -> Workspace:
    """Return the workspace at an address.

    Raises:
        Mistake: its store does not keep create-if-absent, so that two writers could undo each other's changes; or a
            server kept it that is too new for this one.
        StorageFailed: it cannot be used.

    """
    store = open_store(url)
    if not excludes(store, f"run/exclusion-{uuid.uuid4().hex}"):
        raise Mistake(
            f"--workspace {store.url}: its store ignores create-if-absent, so changes could get lost; "
            "use a folder, or a store with conditional writes (If-None-Match)"
        )
    workspace = Workspace(store)
    protocol.keep(workspace)
    return workspace


def _check_entrance(options: Options, tokens: Tokens) -> None:
    """Make sure that somebody can enter."""
    if options.token_file is not None:
        keep_token_file(options.token_file, tokens)
    elif not (options.insecure_local or options.oidc or tokens.list()):
        raise Mistake("nobody could enter: there is no token yet; give --token-file FILE, and one is made there")


def _tell(url: str) -> None:
    log.info("listening at %s", url)
    print(json.dumps({"event": "listening", "url": url}), flush=True)  # noqa: T201 - whoever started it waits for it


def _tell_unserved(compute: str) -> None:
    print(json.dumps({"event": "unserved", "compute": compute}), flush=True)  # noqa: T201 - its owner may serve it


def _add_places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--allow-root",
        nargs="+",
        action="extend",
        default=[],
        metavar="FOLDER",
        help="folders of this machine whose files requests may name; the nodes must see them too",
    )
    parser.add_argument(
        "--allow-host",
        nargs="+",
        action="extend",
        default=[],
        metavar="HOST",
        help="hosts of this network (names, .domains, addresses, networks) that web addresses of requests may lead to",
    )


def _add_bounds(parser: argparse.ArgumentParser) -> None:
    default = Bounds()
    parser.add_argument(
        "--metrics-linger",
        type=float,
        default=default.linger_seconds,
        metavar="SECONDS",
        help="for which a job that has ended is told of at /metrics: two scrapes, at least (default: %(default)s)",
    )
    parser.add_argument(
        "--metrics-jobs",
        type=int,
        default=default.most_jobs,
        metavar="N",
        help="jobs that are told of at /metrics at once, the oldest first (default: %(default)s)",
    )


def _slice(seconds: float | None) -> float | None:
    if seconds is not None and not SLICE_BOUNDS[0] <= seconds <= SLICE_BOUNDS[1]:
        raise Mistake(
            f"--slice-seconds {seconds:g}: give a number of seconds from {SLICE_BOUNDS[0]} to {SLICE_BOUNDS[1]}"
        )
    return seconds


def _bounds(given: argparse.Namespace) -> Bounds:
    if not 0 <= given.metrics_linger < float("inf"):
        raise Mistake(f"--metrics-linger {given.metrics_linger}: give 0 or more seconds")
    if given.metrics_jobs < 0:
        raise Mistake(f"--metrics-jobs {given.metrics_jobs}: give 0 or more")
    return Bounds(linger_seconds=given.metrics_linger, most_jobs=given.metrics_jobs)


def _certificate(certificate: Path | None, key: Path | None) -> Certificate | None:
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise Mistake("--tls-cert and --tls-key: give both, or none")
    return Certificate(certificate=certificate, key=key)


def _oidc(given: argparse.Namespace) -> OidcSettings | None:
    if not given.oidc_issuer and not given.oidc_audience:
        return None
    if not given.oidc_issuer or not given.oidc_audience:
        raise Mistake("--oidc-issuer and --oidc-audience: give both, or none")
    return OidcSettings(issuer=given.oidc_issuer, audience=given.oidc_audience, roles_claim=given.oidc_roles_claim)


if __name__ == "__main__":
    raise SystemExit(main())
