"""`gristmill login` and `gristmill logout`: which server this user's commands ask."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any, Final

from gristmill.cli.output import print_result
from gristmill.cli.server import connect
from gristmill.cli.service_options import service_command
from gristmill.errors import Mistake
from gristmill.service.connection import check_url, forget_login, save_login
from gristmill.settings import ProcessSettings

_LOGIN: Final = """\
  gristmill login https://gristmill.example.com
  gristmill login http://localhost:8890 --token-stdin
"""

_LOGOUT: Final = """\
  gristmill logout
"""


def add(commands: Any) -> None:
    """Add the commands."""
    text = "take a server for the one that commands ask from now on"
    login = service_command(commands, "login", _login, summary=text, example=_LOGIN)
    login.add_argument("url", metavar="URL", help="the server's address, as http://host:port")
    login.add_argument(
        "--token-stdin", action="store_true", help="read the token from stdin; otherwise it is asked for"
    )
    login.add_argument("--ca-file", default="", metavar="FILE", help="certificates to trust, for one of its own making")
    service_command(commands, "logout", _logout, summary="forget that server and its token", example=_LOGOUT)


def _login(options: argparse.Namespace) -> int:
    settings = ProcessSettings.read()
    url, token = check_url(options.url), _token(options, settings)
    with connect(url, token, ca_file=options.ca_file, settings=settings) as client:
        info = client.info()
    path = save_login(settings, url, token, ca_file=options.ca_file)
    document = {"url": url, "user": info.get("user"), "role": info.get("role"), "version": info.get("version")}
    if options.format or options.query:
        print_result(document, options.format, options.query)
    else:
        who = f"{document['user']} ({document['role']})" if document["role"] else document["user"]
        sys.stdout.write(f"logged in to {url} as {who}; kept in {path}\n")
    if settings.url and check_url(settings.url) != url and not options.only_show_errors:
        sys.stderr.write(f"note: GRISTMILL_URL={settings.url} is set, and goes before this login\n")
    return 0


def _logout(_options: argparse.Namespace) -> int:
    sys.stdout.write("logged out\n" if forget_login(ProcessSettings.read()) else "there was no login\n")
    return 0


def _token(options: argparse.Namespace, settings: ProcessSettings) -> str:
    """Return the token that is given: never as an argument, which others can see."""
    if options.token_stdin:
        token = sys.stdin.read().strip()
    elif settings.token:
        token = settings.token
    elif sys.stdin.isatty():
        token = getpass.getpass("token: ").strip()
    else:
        raise Mistake("no token: give it on stdin (--token-stdin), or in GRISTMILL_TOKEN")
    if not token:
        raise Mistake("the token is empty: `gristmill token create` makes one")
    return token
