"""`gristmill version`: what runs here, and what the server runs, to see whether they belong together."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any, Final

import gristmill
from gristmill import versions
from gristmill.cli import server
from gristmill.cli.output import print_result
from gristmill.cli.service_options import service_command
from gristmill.errors import GristmillError, Mistake
from gristmill.service.resource import plain

_EXAMPLE: Final = """\
  gristmill version
  gristmill version --query server.version -o tsv
"""


def add(commands: Any) -> None:
    """Add the command."""
    service_command(commands, "version", _version, summary="show the version here, and the server's", example=_EXAMPLE)


def _version(options: argparse.Namespace) -> int:
    document = {"version": gristmill.__version__, "protocol": versions.PROTOCOL, "server": _server()}
    if options.format or options.query:
        print_result(document, options.format, options.query)
    else:
        sys.stdout.write(page(document))
    return 0


def page(document: Mapping[str, Any]) -> str:
    """Return the versions as a person reads them."""
    return f"here:   {_words(document)}\nserver: {_words(document['server'])}\n"


def _words(told: Mapping[str, Any] | None) -> str:
    if told is None:
        return "none: GRISTMILL_URL, a login or gristmill up names it"
    place = f", {told['url']}" if "url" in told else ""
    if told.get("problem"):
        return f"not known{place}: {told['problem']}"
    return f"{told['version']} (protocol {told['protocol']}){place}"


def _server() -> dict[str, Any] | None:
    """Return what the server runs, or why that is not known; None where no server is named."""
    try:
        url = server.find().url
    except Mistake:
        return None
    try:
        with server.connect() as client:
            info = plain(client.info())
    except GristmillError as error:
        return {"url": url, "problem": error.message}
    return {"url": url, "version": info.get("version"), "protocol": versions.protocol_of(info)}
