"""`gristmill batch-deployment ...`: what runs behind a batch endpoint: a model, its code, its settings."""

from __future__ import annotations

import argparse
from typing import Any, Final

from gristmill.cli import reading, server
from gristmill.cli.confirming import confirmed
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
from gristmill.cli.views import DEPLOYMENT, JOB, note, show, show_all
from gristmill.errors import Mistake

_CREATE: Final = """\
  gristmill batch-deployment create -f deployment.yml -e mnist --set-default
  gristmill batch-deployment create -f deployment.yml --set settings.mini_batch_size=20
"""

_SHOW: Final = """\
  gristmill batch-deployment show -n blue -e mnist
"""

_LIST: Final = """\
  gristmill batch-deployment list -e mnist -o table
"""

_UPDATE: Final = """\
  gristmill batch-deployment update -n blue -e mnist --set settings.mini_batch_size=20
"""

_DELETE: Final = """\
  gristmill batch-deployment delete -n blue -e mnist --yes
"""

_JOBS: Final = """\
  gristmill batch-deployment list-jobs -n blue -e mnist --query [].name
"""


def add(commands: Any) -> None:
    """Add the group."""
    below = group(commands, "batch-deployment", summary="make and change the deployments of batch endpoints")
    _add_create(below)
    _add_place(service_command(below, "show", _show, summary="show a deployment", example=_SHOW))
    listing = service_command(below, "list", _list, summary="list an endpoint's deployments", example=_LIST)
    _add_endpoint(listing)
    update = service_command(below, "update", _update, summary="change a deployment", example=_UPDATE)
    _add_place(update, required=False)
    add_file(update, "deployment: what it says is changed, the rest stays")
    add_edits(update)
    _add_script_check(update)
    add_no_wait(update)
    text = "delete a deployment; its jobs stay"
    delete = service_command(below, "delete", _delete, summary=text, example=_DELETE)
    _add_place(delete)
    add_yes(delete)
    add_no_wait(delete)
    text = "list the jobs that a deployment ran"
    _add_place(service_command(below, "list-jobs", _list_jobs, summary=text, example=_JOBS))


def _add_create(below: Any) -> None:
    text = "make a deployment, or replace it, and print what was understood"
    create = service_command(below, "create", _create, summary=text, example=_CREATE)
    add_file(create, "deployment", required=True)
    _add_place(create, required=False)
    add_set(create)
    create.add_argument("--set-default", action="store_true", help="let the endpoint run it where invoke names none")
    _add_script_check(create)
    add_no_wait(create)


def _add_place(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    add_name(parser, "deployment" if required else "deployment; it wins over the file's", required=required)
    _add_endpoint(parser, required=required)


def _add_endpoint(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    text = "its endpoint" if required else "its endpoint; it wins over the file's"
    parser.add_argument("-e", "--endpoint-name", metavar="NAME", required=required, help=text)


def _add_script_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--skip-script-validation",
        action="store_true",
        help="do not look whether the scoring script is there, can be parsed, and has init() and run()",
    )


def _create(options: argparse.Namespace) -> int:
    if options.set_default and options.no_wait:
        raise Mistake("--set-default: cannot be given with --no-wait, as with az; leave --no-wait away")
    flags = {"name": options.name, "endpoint_name": options.endpoint_name}
    skipped = options.skip_script_validation
    document = reading.read("deployment", options.file, flags, options.set, check_script=not skipped)
    operations = server.connect().batch_deployments
    made = operations.begin_create_or_update(document, set_default=options.set_default, skip_script_validation=skipped)
    return show(made.result(), options, DEPLOYMENT)


def _show(options: argparse.Namespace) -> int:
    found = server.connect().batch_deployments.get(options.name, endpoint_name=options.endpoint_name)
    return show(found, options, DEPLOYMENT)


def _list(options: argparse.Namespace) -> int:
    return show_all(server.connect().batch_deployments.list(options.endpoint_name), options, DEPLOYMENT)


def _update(options: argparse.Namespace) -> int:
    edits = edits_of(options)
    if not (edits or options.file):
        raise Mistake("batch-deployment update: say what changes: --set, --add, --remove or --file")
    flags = {"name": options.name, "endpoint_name": options.endpoint_name}
    skipped = options.skip_script_validation
    given = reading.read("deployment", options.file, flags, (), check_script=not skipped) if options.file else {}
    name = options.name or given.get("name")
    endpoint = options.endpoint_name or given.get("endpoint_name")
    if not name or not endpoint:
        raise Mistake("batch-deployment update: say which deployment: --name and --endpoint-name")
    operations = server.connect().batch_deployments
    changed = reading.changed(operations.get(name, endpoint_name=endpoint), given, edits)
    made = operations.begin_create_or_update(changed, skip_script_validation=skipped)
    return show(made.result(), options, DEPLOYMENT)


def _delete(options: argparse.Namespace) -> int:
    if confirmed(f"deployment {options.name} of endpoint {options.endpoint_name}", yes=options.yes):
        operations = server.connect().batch_deployments
        operations.begin_delete(options.name, endpoint_name=options.endpoint_name).result()
        note(f"deployment {options.name} is deleted", options)
    return 0


def _list_jobs(options: argparse.Namespace) -> int:
    operations = server.connect().batch_deployments
    return show_all(operations.list_jobs(options.endpoint_name, name=options.name), options, JOB)
