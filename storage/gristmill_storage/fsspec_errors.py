"""From what fsspec's drivers raise, each its own kinds, to Gristmill's errors: in words with a fix, without secrets."""

from __future__ import annotations

import re
from typing import Any, Final

from gristmill.errors import AlreadyExists, GristmillError, Mistake, NotFound, StorageFailed
from gristmill_storage.patience import causes_of, is_untrusted, status_of
from gristmill_storage.reach import Unreachable

_QUERY: Final = re.compile(r"\?[^\s'\")]*")
#: A name with a password in front of a host, or of a bucket.
_USER: Final = re.compile(r"[^\s/@:'\"]+:[^\s/@'\"]+@")

#: What a web server answers who wants to know who asks, and who knows and says no.
_REFUSED: Final = {401: "Unauthorized", 403: "Forbidden"}

#: What a web server answers that has no such file, or has it no more.
_GONE: Final = frozenset({404, 410})

_UNMET: Final = 412

#: Where a driver is told of authorities that is not told by the system.
_AUTHORITIES: Final = {"s3": "AWS_CA_BUNDLE", "s3a": "AWS_CA_BUNDLE"}

#: Why a certificate was refused, in the words of OpenSSL.
_DISTRUST: Final = re.compile(r"certificate verify failed: ([^(]+?) \(")


def own_error(error: Exception, named: str, *, scheme: str) -> GristmillError:
    """Return the error to raise from a driver's.

    Args:
        error: What the driver raised.
        named: The file or folder, without secrets.
        scheme: Its address', in lower case.

    """
    web = scheme in ("http", "https")
    if web:
        error = _cause_on_the_web(error)
    found = _mistake(error, named, scheme)
    if found is not None:
        return found
    if isinstance(error, FileNotFoundError) or (web and status_of(error) in _GONE):
        return NotFound(f"{named}: no such file")
    if isinstance(error, OSError) and is_refusal(error):
        return AlreadyExists(f"{named}: already there")
    return StorageFailed(f"{named}: {type(error).__name__}: {_without_secrets(str(error)) or type(error).__name__}")


def _mistake(error: Exception, named: str, scheme: str) -> GristmillError | None:
    """Return what no other try will mend; None where one might."""
    for cause in causes_of(error):
        if isinstance(cause, GristmillError):
            return cause
        if isinstance(cause, Unreachable):
            return Mistake(
                f"{named}: its host leads to a {cause.kind} address, which requests may not have the server open; give "
                "an address that is public, let the client upload the files, or let the server's owner allow the host "
                "(--allow-host)"
            )
    if is_untrusted(error):
        variable = _AUTHORITIES.get(scheme, "SSL_CERT_FILE")
        return Mistake(
            f"{named}: its server's certificate is not trusted ({_reason_of_distrust(error)}); where an authority of "
            f"your own has signed it, set {variable} to that one's certificates, for the "
            "server and for each node"
        )
    status = status_of(error) if scheme in ("http", "https") else None
    if status not in _REFUSED:
        return None
    return Mistake(
        f"{named}: the web server answers {status} {_REFUSED[status]}; give a public or a signed address, or put "
        "the files where a datastore's credentials open them"
    )


def is_refusal(error: OSError) -> bool:
    """Return whether an error says that a condition was not met; drivers do not know each store's wording."""
    return isinstance(error, FileExistsError) or answer_of(error) == _UNMET


def answer_of(error: OSError) -> int | None:
    """Return the status of S3's answer that its driver made an error of."""
    response: Any = getattr(error.__cause__, "response", None)
    return response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None


def _cause_on_the_web(error: Exception) -> Exception:
    """Return what happened: the driver calls whatever goes wrong a file that is not found."""
    while isinstance(error, FileNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    return error


def _reason_of_distrust(error: Exception) -> str:
    found = next(filter(None, (_DISTRUST.search(str(cause)) for cause in causes_of(error))), None)
    return found[1] if found is not None else "it cannot be verified"


def _without_secrets(text: str) -> str:
    return " ".join(_USER.sub("***@", _QUERY.sub("?...", text)).split())
