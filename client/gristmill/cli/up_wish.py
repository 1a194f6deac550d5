"""The flags of `gristmill up` that say what is wanted, checked here: the background says late what is wrong."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Final

from gristmill.certificates import check_pair, first_of
from gristmill.errors import Mistake
from gristmill.local.service_wish import Wish
from gristmill.service.connection import check_url
from gristmill.settings import SLICE_BOUNDS

#: The greatest port.
_PORTS: Final = 65535


def add_wish(parser: argparse.ArgumentParser) -> None:
    """Add the flags that `read_wish` reads."""
    add = parser.add_argument
    add("--host", default="127.0.0.1", metavar="ADDRESS", help="the address to listen on (default: 127.0.0.1)")
    add("--port", type=_port, metavar="N", help="the port to listen on (default: 8890 if it is free)")
    add("--slots", type=_slots, metavar="N", help="instances at a time (default: one a core)")
    add(
        "--allow-root",
        action="append",
        default=[],
        metavar="FOLDER",
        help="let jobs read and write below this folder in place; may be given again",
    )
    add(
        "--allow-host",
        action="append",
        default=[],
        metavar="HOST",
        help="let jobs read web addresses at this host, .domain, address or network of yours; may be given again",
    )
    add(
        "--slice-seconds",
        type=_slice,
        metavar="SECONDS",
        help="that a job has a place before one that waits may have it (default: GRISTMILL_SLICE_SECONDS, or 30)",
    )
    _add_web(parser)


def _add_web(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("for clients elsewhere").add_argument
    add("--tls-cert", default="", metavar="FILE", help="certificate and its chain, PEM: speak TLS")
    add("--tls-key", default="", metavar="FILE", help="the certificate's key, PEM")
    add("--public-url", default="", metavar="URL", help="address that clients use, where a proxy stands before this")
    add(
        "--trusted-proxy",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="take the word of this proxy (an address or network) for who asks, and where; may be given again",
    )
    add("--oidc-issuer", default="", metavar="URL", help="take tokens of this identity provider too")
    add("--oidc-audience", default="", metavar="TEXT", help="what such a token must name in its claim aud")
    add("--oidc-roles-claim", default="", metavar="CLAIM", help="claim with the roles (default: roles)")


def read_wish(options: argparse.Namespace, workspace: Path) -> Wish:
    """Return what the flags say.

    Raises:
        Mistake: it cannot be had.

    """
    certificate, key = _certificate(options.tls_cert, options.tls_key)
    if bool(options.oidc_issuer) != bool(options.oidc_audience):
        raise Mistake("--oidc-issuer and --oidc-audience: give both, or none")
    return Wish(
        workspace=workspace,
        host=options.host,
        port=options.port,
        slots=options.slots or _cores(),
        allow_roots=tuple(map(_root, options.allow_root)),
        allow_hosts=tuple(options.allow_host),
        slice_seconds=options.slice_seconds,
        tls_cert=certificate,
        tls_key=key,
        public_url=check_url(options.public_url) if options.public_url else "",
        trusted_proxies=tuple(options.trusted_proxy),
        oidc_issuer=options.oidc_issuer,
        oidc_audience=options.oidc_audience,
        oidc_roles_claim=options.oidc_roles_claim,
    )


def _certificate(certificate: str, key: str) -> tuple[str, str]:
    """Return where the files are, for a process that stands in another folder."""
    if bool(certificate) != bool(key):
        raise Mistake("--tls-cert and --tls-key: give both, or none")
    if not certificate:
        return "", ""
    shown, secret = (Path(text).expanduser().absolute() for text in (certificate, key))
    check_pair(shown, secret)
    first_of(shown)
    return str(shown), str(secret)


def _root(text: str) -> str:
    path = Path(text).expanduser().absolute()
    if not path.is_dir():
        raise Mistake(f"--allow-root {text}: there is no such folder; make it, or give another")
    return str(path.resolve())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _slots(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number from 1 on")
    return int(text)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > _PORTS:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number up to {_PORTS}, 0 for any")
    return int(text)


def _slice(text: str) -> float:
    least, most = SLICE_BOUNDS
    try:
        seconds = float(text)
    except ValueError:
        seconds = float("nan")
    if not least <= seconds <= most:
        raise argparse.ArgumentTypeError(f"{text!r}: give a number of seconds from {least} to {most}")
    return seconds
