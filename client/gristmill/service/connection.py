"""Where the server is, and the token for it: arguments, environment, `gristmill login`, or `gristmill up` here."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import SplitResult, urlsplit, urlunsplit

from gristmill.addresses import local_path
from gristmill.errors import Mistake
from gristmill.settings import ProcessSettings

_LOGIN: Final = "login.json"

#: What `gristmill up` leaves in its workspace.
_RUNNING: Final = Path("run", "server.json")

_PORTS: Final = {"http": 80, "https": 443}

_NO_SERVER: Final = "no server: start one with gristmill up, or give GRISTMILL_URL"


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A server's address, and what shows it who asks."""

    #: Without a slash at its end.
    url: str
    #: "" for none; never shown.
    token: str = field(default="", repr=False)
    #: A file of certificates that are trusted instead of the system's; "": the system's.
    ca_file: str = ""
    #: A file with the server's own certificate, which is trusted under any name; "": there is none.
    certificate: str = ""
    #: What named it, in words for a message.
    source: str = "given"


def find_server(
    url: str | None = None,
    token: str | None = None,
    *,
    ca_file: str | None = None,
    settings: ProcessSettings | None = None,
) -> Connection:
    """Return the server that is meant: the one given, else the first that the places below name.

    GRISTMILL_URL, the file of `gristmill login`, the workspace of a `gristmill up` on this machine. A token goes with
    the address that it was given or stored for, and with no other.

    Args:
        url: its address.
        token: for it; None: the one that is known for that address.
        ca_file: file of certificates to trust.
        settings: the process's; None: they are read.

    Raises:
        Mistake: there is none, or what names it cannot be used.

    """
    settings = settings or ProcessSettings.read()
    wanted = check_url(url) if url else ""
    # Who says all has no use for what a broken login file would say.
    known = None if wanted and token is not None else _first(settings, wanted)
    if known is None and not wanted:
        raise Mistake(_NO_SERVER)
    found = known or Connection(url=wanted)
    return Connection(
        url=found.url,
        token=_check_token(found.token if token is None else token),
        ca_file=found.ca_file if ca_file is None else ca_file,
        certificate="" if ca_file else found.certificate,
        source=found.source,
    )


def login_file(settings: ProcessSettings) -> Path:
    """Return where `gristmill login` keeps a server and its token."""
    return settings.config / _LOGIN


def save_login(settings: ProcessSettings, url: str, token: str, *, ca_file: str = "") -> Path:
    """Keep a server and its token for this user's commands; return the file, which only this user can read.

    Raises:
        Mistake: the URL or the token cannot be used.

    """
    document = {"url": check_url(url), "token": _check_token(token), "ca_file": ca_file}
    path = login_file(settings)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600, exist_ok=False)
    draft.write_text(json.dumps(document), "utf-8")
    draft.replace(path)
    return path


def forget_login(settings: ProcessSettings) -> bool:
    """Remove what `gristmill login` kept; return whether there was something."""
    path = login_file(settings)
    there = path.exists()
    path.unlink(missing_ok=True)
    return there


def check_url(url: str) -> str:
    """Return a server's address without what makes no difference.

    Raises:
        Mistake: it is no address of a server.

    """
    parts = _split(url)
    if parts is None or parts.scheme.lower() not in _PORTS or not parts.hostname:
        raise Mistake(f"server {_shown(url)}: give its address as http://host:port or https://host")
    if parts.username or parts.password:
        raise Mistake(f"server {_shown(url)}: give a token apart from the address, in GRISTMILL_TOKEN")
    if parts.query or parts.fragment:
        raise Mistake(f"server {url}: an address ends before '?' and '#'")
    return urlunsplit((parts.scheme.lower(), parts.netloc.lower(), parts.path.rstrip("/"), "", ""))


def _first(settings: ProcessSettings, wanted: str) -> Connection | None:
    """Return the first server that is known, of `wanted` if that is not ""."""
    for known in _known(settings, wanted):
        if not wanted or _key(known.url) == _key(wanted):
            return known
    return None


def _known(settings: ProcessSettings, wanted: str) -> Iterator[Connection]:
    if settings.url or (settings.token and wanted):
        # A token alone in the environment is meant for the address that the call gives.
        yield _of_environment(settings, wanted)
    yield from _kept(settings)


def _kept(settings: ProcessSettings) -> Iterator[Connection]:
    login = _of_login(settings)
    if login is not None:
        yield login
    yield from _of_workspace(settings)


def _of_environment(settings: ProcessSettings, wanted: str) -> Connection:
    url = check_url(settings.url or wanted)
    if settings.token:
        return Connection(url=url, token=settings.token, source="GRISTMILL_URL")
    kept = (found for found in _kept(settings) if _key(found.url) == _key(url))
    return next(kept, Connection(url=url, source="GRISTMILL_URL"))


def _of_login(settings: ProcessSettings) -> Connection | None:
    path = login_file(settings)
    if not path.exists():
        return None
    document = _parse(path, _read_private(path), "gristmill login makes it anew")
    return Connection(
        url=check_url(str(document.get("url", ""))),
        token=str(document.get("token") or ""),
        ca_file=str(document.get("ca_file") or ""),
        source="gristmill login",
    )


def _of_workspace(settings: ProcessSettings) -> Iterator[Connection]:
    """Yield a server of this machine by the address that surely leads to it, then by the one that others use."""
    folder = local_path(settings.workspace) if settings.workspace else None
    if folder is None or not (folder / _RUNNING).exists():
        return
    path = folder / _RUNNING
    document = _parse(path, path.read_text("utf-8"), "gristmill up makes it anew")
    if not _alive(document.get("pid")):
        return
    url = check_url(str(document.get("url", "")))
    near = check_url(str(document.get("near") or url))
    file = str(document.get("token_file") or "")
    token = _read_private(folder / file) if file else ""
    certificate = str(document.get("certificate") or "")
    yield Connection(url=near, token=token, certificate=certificate, source="gristmill up")
    if _key(near) != _key(url):
        # A proxy may stand there, with a certificate of its own.
        yield Connection(url=url, token=token, source="gristmill up")


def _alive(pid: Any) -> bool:
    try:
        os.kill(int(pid), 0)
    except PermissionError:
        return True
    except (OSError, ValueError, TypeError, OverflowError):
        return False
    return True


def _parse(path: Path, text: str, fix: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise Mistake(f"{path}: not a JSON object; {fix}")
    return document


def _read_private(path: Path) -> str:
    """Return the text of a file that holds a token.

    Raises:
        Mistake: it cannot be read, or others than its owner can read it.

    """
    try:
        with path.open(encoding="utf-8") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            text = stream.read()
    except OSError as error:
        raise Mistake(f"{path}: cannot be read: {error.strerror or error}") from None
    if mode & 0o077:
        raise Mistake(f"{path}: others can read the token in it (mode {mode & 0o777:o}); chmod 600 {path}")
    return text


def _check_token(token: str) -> str:
    token = token.strip()
    if not token.isascii() or not token.isprintable() or " " in token:
        raise Mistake("the token holds spaces or characters that no token has; copy it again")
    return token


def _key(url: str) -> tuple[str, str | None, int | None, str]:
    """Return what makes two addresses the same server."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme), parts.path


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url.strip())
        # Read here, for a port that is no number is told of only then.
        port = parts.port
    except ValueError:
        return None
    return None if port == 0 else parts


def _shown(url: str) -> str:
    """Return an address without what may be a password."""
    head, at, tail = url.rpartition("@")
    scheme, mark, _ = head.partition("://")
    return f"{scheme if mark else ''}{mark}***@{tail}" if at else url
