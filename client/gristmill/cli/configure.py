"""`gristmill configure` and `gristmill account`: what scripts for `az` call around its `ml` commands."""

from __future__ import annotations

import argparse
import getpass
from collections.abc import Sequence
from typing import Any, Final

from gristmill.cli import server
from gristmill.cli.output import print_result
from gristmill.cli.service_options import group, service_command
from gristmill.errors import Mistake

_CONFIGURE: Final = """\
  gristmill configure --defaults workspace=main group=team
"""

_SHOW: Final = """\
  gristmill account show --query name -o tsv
"""

_SET: Final = """\
  gristmill account set --subscription anything
"""

_GET: Final = """\
  gristmill account get-access-token --resource https://ml.azure.com --query accessToken -o tsv
"""

#: What is left of `az configure ...` and `az account ...` where a script's function drops az's first word, whatever it
#: is: az() { shift; gristmill "$@"; }
_DROPPED: Final = {
    "--defaults": "configure",
    "-d": "configure",
    "get-access-token": "account",
    "set": "account",
    "show": "account",
}


def add(commands: Any) -> None:
    """Add the command and the group."""
    text = "take the defaults that az is given; there is one workspace here, and no group"
    parser = service_command(commands, "configure", _configure, summary=text, example=_CONFIGURE)
    parser.add_argument(
        "-d", "--defaults", nargs="+", default=[], metavar="KEY=VALUE", help="nothing follows from them"
    )
    below = group(commands, "account", summary="answer scripts that ask for az's account")
    service_command(below, "show", _show, summary="show who works with which server", example=_SHOW)
    setting = service_command(below, "set", _set, summary="take a subscription; there is none here", example=_SET)
    setting.add_argument("-s", "-n", "--name", metavar="NAME", help="nothing follows from it")
    text = "print the token that the server is asked with, for curl"
    token = service_command(below, "get-access-token", _token, summary=text, example=_GET)
    for option in ("--resource", "--scope", "--tenant"):
        token.add_argument(option, metavar="TEXT", help="nothing follows from it")


def restored(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the word back that a script's `az` function dropped."""
    word = _DROPPED.get(arguments[0]) if arguments else None
    return [word, *arguments] if word else list(arguments)


def _configure(options: argparse.Namespace) -> int:
    for text in options.defaults:
        if "=" not in text:
            raise Mistake(f"--defaults {text}: write key=value, as workspace=main")
    return 0


def _set(_: argparse.Namespace) -> int:
    return 0


def _show(options: argparse.Namespace) -> int:
    connection = server.find()
    document = {
        "environmentName": "Gristmill",
        "id": "gristmill",
        "isDefault": True,
        "name": connection.url,
        "state": "Enabled",
        "tenantId": "gristmill",
        "user": {"name": _who(), "type": "user"},
    }
    print_result(document, options.format, options.query)
    return 0


def _token(options: argparse.Namespace) -> int:
    connection = server.find()
    if not connection.token:
        raise Mistake(f"there is no token for {connection.url}: set GRISTMILL_TOKEN, or gristmill login")
    document = {"accessToken": connection.token, "expiresOn": None, "tokenType": "Bearer"}
    print_result(document, options.format, options.query)
    return 0


def _who() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return ""
