"""Certificates of TLS: whether one can be served with, and how this machine's own server is known by its.

A server of this machine is asked at 127.0.0.1, a name that its certificate seldom has. It is known by the certificate
itself instead: nobody else has its key.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Final

from gristmill.errors import Mistake

_PEM: Final = re.compile(r"-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----")

#: OpenSSL's X509_V_FLAG_NO_CHECK_TIME, which Python's own module does not name.
_AT_ANY_TIME: Final = 0x200000


def check_pair(certificate: Path, key: Path) -> None:
    """Make sure that a server can show a certificate and sign with its key.

    Raises:
        Mistake: it cannot.

    """
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=lambda: "")
    except (OSError, ValueError) as error:
        raise Mistake(f"--tls-cert {certificate}, --tls-key {key}: cannot be used: {error}") from error


def first_of(chain: Path) -> str:
    """Return the server's own certificate of a file that may hold its issuers' too, in PEM form.

    Raises:
        Mistake: there is none in it.

    """
    try:
        found = _PEM.search(chain.read_text("ascii", "replace"))
    except OSError as error:
        raise Mistake(f"--tls-cert {chain}: cannot be read: {error.strerror}") from None
    if found is None:
        raise Mistake(f"--tls-cert {chain}: there is no certificate in it; give it in PEM form")
    return f"{found[0]}\n"


def trusting(certificate: Path) -> ssl.SSLContext:
    """Return what trusts this one certificate, whatever its names and its dates, and no other.

    Raises:
        Mistake: it cannot be read.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    # Its issuer is not asked for: whoever holds the key to it is the server.
    context.verify_flags = ssl.VerifyFlags(context.verify_flags | ssl.VERIFY_X509_PARTIAL_CHAIN | _AT_ANY_TIME)
    try:
        context.load_verify_locations(cafile=certificate)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "strerror", None) or error
        raise Mistake(f"{certificate}: the certificate cannot be read: {reason}") from None
    return context
