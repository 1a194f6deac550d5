"""`gristmill compute ...`: named pools of nodes; `gristmill node --compute NAME` makes a machine one of a pool."""

from __future__ import annotations

import argparse
import itertools
from typing import Any, Final

from gristmill.cli import reading, server
from gristmill.cli.confirming import confirmed
from gristmill.cli.edits import Edits
from gristmill.cli.service_options import (
    add_edits,
    add_file,
    add_name,
    add_no_wait,
    add_set,
    add_tags,
    add_yes,
    edits_of,
    group,
    service_command,
)
from gristmill.cli.views import COMPUTE, note, show, show_all
from gristmill.errors import Mistake

_CREATE: Final = """\
  gristmill compute create -n batch-cluster --type amlcompute --min-instances 0 --max-instances 5
"""

_SHOW: Final = """\
  gristmill compute show -n batch-cluster
"""

_LIST: Final = """\
  gristmill compute list -o table
"""

_UPDATE: Final = """\
  gristmill compute update -n batch-cluster --max-instances 8
"""

_DELETE: Final = """\
  gristmill compute delete -n batch-cluster --yes
"""

#: Options of a cluster's size; keys of its document.
_SIZES: Final = ("min_instances", "max_instances", "idle_time_before_scale_down")

#: Options that az has for a cluster and that become keys of its document.
_WORDS: Final = ("type", "size", "tier", "location", "description")


#: Options of az that say how Azure is to make the machines.
_MACHINES: Final = (
    "--admin-password",
    "--admin-username",
    "--enable-node-public-ip",
    "--identity-type",
    "--ssh-key-value",
    "--ssh-public-access-enabled",
    "--subnet",
    "--user-assigned-identities",
    "--vnet-name",
)


def add(commands: Any) -> None:
    """Add the group."""
    below = group(commands, "compute", summary="name the pools of nodes of a server")
    _add_create(below)
    add_name(service_command(below, "show", _show, summary="show a compute", example=_SHOW), "compute")
    listing = service_command(below, "list", _list, summary="list the computes", example=_LIST)
    listing.add_argument("-t", "--type", metavar="TYPE", help="list those of this type")
    listing.add_argument("-r", "--max-results", type=int, metavar="N", help="list at most so many")
    update = service_command(below, "update", _update, summary="change a compute", example=_UPDATE)
    add_name(update, "compute")
    _add_sizes(update)
    update.add_argument("--tags", nargs="*", default=[], metavar="KEY=VALUE", help="tags that are set")
    add_edits(update)
    add_no_wait(update)
    text = "delete a compute; the machines stay"
    delete = service_command(below, "delete", _delete, summary=text, example=_DELETE)
    add_name(delete, "compute")
    add_yes(delete)
    add_no_wait(delete)


def _add_create(below: Any) -> None:
    create = service_command(below, "create", _create, summary="make a compute, or replace it", example=_CREATE)
    add_file(create, "compute")
    add_name(create, "compute; it wins over the file's", required=False)
    create.add_argument("-t", "--type", metavar="TYPE", help="amlcompute")
    _add_sizes(create)
    create.add_argument("--size", metavar="SIZE", help="kept, as az has it: nodes are the machines that they are")
    create.add_argument("--tier", metavar="TIER", help="kept, as az has it: dedicated or low_priority")
    create.add_argument("-l", "--location", metavar="NAME", help="nothing follows from it")
    for option in _MACHINES:
        create.add_argument(option, metavar="VALUE", help="of Azure's machines: nothing follows from it")
    add_tags(create)
    add_set(create)
    add_no_wait(create)


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--min-instances", type=int, metavar="N", help="instances that are always there")
    parser.add_argument("--max-instances", type=int, metavar="N", help="the most instances that a job may ask for")
    text = "kept, as az has it"
    parser.add_argument("-d", "--idle-time-before-scale-down", type=int, metavar="SECONDS", help=text)


def _create(options: argparse.Namespace) -> int:
    flags = {key: getattr(options, key) for key in ("name", *_WORDS, *_SIZES, "tags")}
    if options.file is None and flags["type"] is None:
        flags["type"] = "amlcompute"
    document = reading.read("compute", options.file, flags, options.set)
    return show(server.connect().compute.begin_create_or_update(document).result(), options, COMPUTE)


def _show(options: argparse.Namespace) -> int:
    return show(server.connect().compute.get(options.name), options, COMPUTE)


def _list(options: argparse.Namespace) -> int:
    found = server.connect().compute.list()
    wanted = (one for one in found if options.type is None or one["type"].lower() == options.type.lower())
    return show_all(itertools.islice(wanted, options.max_results), options, COMPUTE)


def _update(options: argparse.Namespace) -> int:
    edits = edits_of(options)
    sizes = {key: getattr(options, key) for key in _SIZES if getattr(options, key) is not None}
    tags = Edits(put=[f"tags.{text}" for text in options.tags], force_string=True)
    if not (edits or sizes or tags):
        raise Mistake("compute update: say what changes: --max-instances, --tags, --set, --add or --remove")
    operations = server.connect().compute
    changed = reading.changed(operations.get(options.name), sizes, tags, edits)
    return show(operations.begin_create_or_update(changed).result(), options, COMPUTE)


def _delete(options: argparse.Namespace) -> int:
    if confirmed(f"compute {options.name}", yes=options.yes):
        server.connect().compute.begin_delete(options.name).result()
        note(f"compute {options.name} is deleted", options)
    return 0
