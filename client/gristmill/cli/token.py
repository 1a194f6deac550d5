"""`gristmill token ...`: who may do what on a server."""

from __future__ import annotations

import argparse
import re
from typing import Any, Final

from gristmill.cli import server
from gristmill.cli.confirming import confirmed
from gristmill.cli.output import print_result
from gristmill.cli.service_options import group, service_command
from gristmill.cli.views import View, note, show_all
from gristmill.service.resource import plain

_ROLES: Final = ("reader", "invoker", "owner")

_CREATE: Final = """\
  gristmill token create -n nightly --role invoker --endpoint mnist --expires-in 90d
  gristmill token create -n ops --role owner --query token -o tsv
"""

_LIST: Final = """\
  gristmill token list -o table
"""

_DELETE: Final = """\
  gristmill token delete --id 0123456789abcdef --yes
"""

TOKEN: Final = View({"Id": "id", "Name": "name", "Roles": "roles", "Endpoints": "endpoints", "Expires": "expires"})

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def add(commands: Any) -> None:
    """Add the group."""
    below = group(commands, "token", summary="make and delete the tokens that a server takes")
    create = service_command(below, "create", _create, summary="make a token; it is shown once", example=_CREATE)
    create.add_argument("-n", "--name", required=True, metavar="NAME", help="what the server's log calls its bearer")
    create.add_argument(
        "--role", choices=_ROLES, default="invoker", help="reader: look; invoker: run jobs, too; owner: everything"
    )
    create.add_argument(
        "--endpoint", nargs="+", action="extend", metavar="NAME", help="endpoints that it is for (default: all)"
    )
    create.add_argument(
        "--expires-in", type=_seconds, metavar="TIME", help="how long it works, as 12h or 90d (default: for ever)"
    )
    service_command(below, "list", _list, summary="list the tokens, without their secrets", example=_LIST)
    delete = service_command(below, "delete", _delete, summary="delete a token", example=_DELETE)
    delete.add_argument("--id", required=True, metavar="ID", help="the token's id, as `token list` shows it")
    delete.add_argument("-y", "--yes", action="store_true", help="do not ask")


def _create(options: argparse.Namespace) -> int:
    made = server.connect().tokens.create(
        options.name, roles=[options.role], endpoints=options.endpoint or ["*"], expires_in=options.expires_in
    )
    print_result(plain(made), options.format, options.query)
    note("the token is shown this once", options)
    return 0


def _list(options: argparse.Namespace) -> int:
    tokens = [_joined(plain(token), options) for token in server.connect().tokens.list()]
    return show_all(tokens, options, TOKEN)


def _delete(options: argparse.Namespace) -> int:
    if confirmed(f"token {options.id}", yes=options.yes):
        server.connect().tokens.delete(options.id)
    return 0


def _joined(token: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Return a token whose lists fit a table's columns, where one is asked for."""
    if options.format != "table":
        return token
    return {key: ", ".join(value) if isinstance(value, list) else value for key, value in token.items()}


def _seconds(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if not found or not float(found[1]):
        raise argparse.ArgumentTypeError(f"{text!r}: give a time, as 90d, 12h, 30m or a number of seconds")
    return float(found[1]) * _SECONDS[found[2] or "s"]
