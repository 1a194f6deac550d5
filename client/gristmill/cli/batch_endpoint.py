"""`gristmill batch-endpoint ...`: named doors to deployments; `batch_endpoint_invoke` goes through one."""

from __future__ import annotations

import argparse
from typing import Any, Final

from gristmill.cli import batch_endpoint_invoke, reading, server
from gristmill.cli.confirming import confirmed
from gristmill.cli.edits import Edits
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
from gristmill.cli.views import ENDPOINT, JOB, note, show, show_all
from gristmill.errors import Mistake

_CREATE: Final = """\
  gristmill batch-endpoint create -n mnist
  gristmill batch-endpoint create -f endpoint.yml --set tags.owner=me
"""

_SHOW: Final = """\
  gristmill batch-endpoint show -n mnist --query scoring_uri -o tsv
"""

_LIST: Final = """\
  gristmill batch-endpoint list -o table
"""

_UPDATE: Final = """\
  gristmill batch-endpoint update -n mnist --set defaults.deployment_name=blue
"""

_DELETE: Final = """\
  gristmill batch-endpoint delete -n mnist --yes
"""

_JOBS: Final = """\
  gristmill batch-endpoint list-jobs -n mnist --query [].name
"""


def add(commands: Any) -> None:
    """Add the group."""
    below = group(commands, "batch-endpoint", summary="make and invoke batch endpoints of a server")
    create = service_command(below, "create", _create, summary="make a batch endpoint, or replace it", example=_CREATE)
    add_file(create, "endpoint")
    add_name(create, "endpoint's name; it wins over the file's", required=False)
    add_set(create)
    add_no_wait(create)
    add_name(service_command(below, "show", _show, summary="show a batch endpoint", example=_SHOW), "endpoint")
    service_command(below, "list", _list, summary="list the batch endpoints", example=_LIST)
    _add_update(below)
    delete = service_command(
        below, "delete", _delete, summary="delete a batch endpoint and its deployments; its jobs stay", example=_DELETE
    )
    add_name(delete, "endpoint")
    add_yes(delete)
    add_no_wait(delete)
    jobs = service_command(below, "list-jobs", _list_jobs, summary="list an endpoint's jobs", example=_JOBS)
    add_name(jobs, "endpoint")
    batch_endpoint_invoke.add(below)


def _add_update(below: Any) -> None:
    update = service_command(below, "update", _update, summary="change a batch endpoint", example=_UPDATE)
    add_name(update, "endpoint; the file may name it", required=False)
    add_file(update, "endpoint: what it says is changed, the rest stays")
    update.add_argument("--defaults", nargs="+", default=[], metavar="KEY=VALUE", help="as deployment_name=blue")
    add_edits(update)
    add_no_wait(update)


def _create(options: argparse.Namespace) -> int:
    return show(make(server.connect(), options), options, ENDPOINT)


def make(client: Any, options: argparse.Namespace) -> Any:
    """Make the endpoint of a file, a name and `--set`, with the deployments in a file of 2021; return it."""
    found = reading.read_endpoint(options.file, options.name, options.set)
    endpoint = dict(found.endpoint)
    # A default deployment must be there before it is one.
    defaults = endpoint.pop("defaults", None) if found.deployments else None
    made = client.batch_endpoints.begin_create_or_update(endpoint).result()
    for deployment in found.deployments:
        named = {**deployment, "endpoint_name": endpoint["name"]}
        client.batch_deployments.begin_create_or_update(named).result()
        note(f"deployment {named['name']} of endpoint {endpoint['name']} is made", options)
    if defaults:
        made = client.batch_endpoints.begin_create_or_update({**endpoint, "defaults": defaults}).result()
    return made


def _show(options: argparse.Namespace) -> int:
    return show(server.connect().batch_endpoints.get(options.name), options, ENDPOINT)


def _list(options: argparse.Namespace) -> int:
    return show_all(server.connect().batch_endpoints.list(), options, ENDPOINT)


def _update(options: argparse.Namespace) -> int:
    edits = edits_of(options)
    if not (edits or options.file or options.defaults):
        raise Mistake("batch-endpoint update: say what changes: --set, --add, --remove, --defaults or --file")
    given = reading.read_endpoint(options.file, options.name).endpoint if options.file else {}
    name = options.name or given.get("name")
    if not name:
        raise Mistake("batch-endpoint update: say which endpoint: --name")
    operations = server.connect().batch_endpoints
    defaults = Edits(put=[f"defaults.{text}" for text in options.defaults])
    changed = reading.changed(operations.get(name), given, defaults, edits)
    return show(operations.begin_create_or_update(changed).result(), options, ENDPOINT)


def _delete(options: argparse.Namespace) -> int:
    if confirmed(f"endpoint {options.name} and its deployments", yes=options.yes):
        server.connect().batch_endpoints.begin_delete(options.name).result()
        note(f"endpoint {options.name} is deleted", options)
    return 0


def _list_jobs(options: argparse.Namespace) -> int:
    return show_all(server.connect().batch_endpoints.list_jobs(options.name), options, JOB)
