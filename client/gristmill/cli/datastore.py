"""`gristmill datastore ...`: names for the roots of stores."""

from __future__ import annotations

import argparse
import itertools
from typing import Any, Final

from gristmill.cli import reading, server
from gristmill.cli.service_options import (
    add_edits,
    add_file,
    add_name,
    add_no_wait,
    add_set,
    add_yes,
    edits_of,
    group,
    service_command,
)
from gristmill.cli.views import DATASTORE, note, show, show_all
from gristmill.errors import Mistake

_CREATE: Final = """\
  gristmill datastore create -f datastore.yml
"""

_SHOW: Final = """\
  gristmill datastore show -n workspaceblobstore
"""

_LIST: Final = """\
  gristmill datastore list -o table
"""

_UPDATE: Final = """\
  gristmill datastore update -n images --set description='camera 3'
"""

_DELETE: Final = """\
  gristmill datastore delete -n images
"""


def add(commands: Any) -> None:
    """Add the group."""
    below = group(commands, "datastore", summary="name the roots of stores for a server")
    create = service_command(below, "create", _create, summary="make a datastore, or replace it", example=_CREATE)
    add_file(create, "datastore", required=True)
    add_name(create, "datastore; it wins over the file's", required=False)
    add_set(create)
    add_no_wait(create)
    add_name(service_command(below, "show", _show, summary="show a datastore", example=_SHOW), "datastore")
    listing = service_command(below, "list", _list, summary="list the datastores", example=_LIST)
    listing.add_argument("-r", "--max-results", type=int, metavar="N", help="list at most so many")
    update = service_command(below, "update", _update, summary="change a datastore", example=_UPDATE)
    add_name(update, "datastore; the file may name it", required=False)
    add_file(update, "datastore: what it says is changed, the rest stays")
    add_edits(update)
    add_no_wait(update)
    text = "forget a datastore; what is in the store stays"
    delete = service_command(below, "delete", _delete, summary=text, example=_DELETE)
    add_name(delete, "datastore")
    # Azure's command does not ask, and knows no --yes.
    add_yes(delete)


def _create(options: argparse.Namespace) -> int:
    document = reading.read("datastore", options.file, {"name": options.name}, options.set)
    return show(server.connect().datastores.create_or_update(document), options, DATASTORE)


def _show(options: argparse.Namespace) -> int:
    return show(server.connect().datastores.get(options.name), options, DATASTORE)


def _list(options: argparse.Namespace) -> int:
    found = itertools.islice(server.connect().datastores.list(), options.max_results)
    return show_all(found, options, DATASTORE)


def _update(options: argparse.Namespace) -> int:
    edits = edits_of(options)
    if not (edits or options.file):
        raise Mistake("datastore update: say what changes: --file, --set, --add or --remove")
    given = reading.read("datastore", options.file, {"name": options.name}, ()) if options.file else {}
    name = options.name or given.get("name")
    if not name:
        raise Mistake("datastore update: say which datastore: --name")
    operations = server.connect().datastores
    changed = reading.changed(operations.get(name), given, edits)
    return show(operations.create_or_update(changed), options, DATASTORE)


def _delete(options: argparse.Namespace) -> int:
    server.connect().datastores.delete(options.name)
    note(f"datastore {options.name} is forgotten; what is in the store stays", options)
    return 0
