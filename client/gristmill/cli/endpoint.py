"""`gristmill endpoint ... --type batch`: the command group of 2021, on what `batch-endpoint` works on today."""

from __future__ import annotations

import argparse
from typing import Any, Final

from gristmill.cli import batch_endpoint, batch_endpoint_invoke, reading, server
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
from gristmill.cli.views import DEPLOYMENT, ENDPOINT, JOB, note, show, show_all
from gristmill.errors import Mistake

_CREATE: Final = """\
  gristmill endpoint create --type batch -f create-batch-endpoint.yml
"""

_SHOW: Final = """\
  gristmill endpoint show --type batch -n mybatchedp
"""

_LIST: Final = """\
  gristmill endpoint list --type batch -o table
"""

_UPDATE: Final = """\
  gristmill endpoint update --type batch -n mybatchedp --deployment-file add-deployment.yml
  gristmill endpoint update --type batch -n mybatchedp --traffic mnist-deployment:100
"""

_INVOKE: Final = """\
  gristmill endpoint invoke --type batch -n mybatchedp --input-data azureml:taxi:1 --query name -o tsv
  gristmill endpoint invoke --type batch -n mybatchedp --input-datastore azureml:images --input-path july/
"""

_DELETE: Final = """\
  gristmill endpoint delete --type batch -n mybatchedp --yes
"""

_JOBS: Final = """\
  gristmill endpoint list-jobs --type batch -n mybatchedp
"""

#: The part of an endpoint's traffic that makes a deployment its default.
_ALL: Final = "100"


def add(commands: Any) -> None:
    """Add the group."""
    below = group(commands, "endpoint", summary="take the commands of 2021 (today: batch-endpoint, batch-deployment)")
    create = _command(below, "create", _create, "make an endpoint with the deployments in its file", _CREATE)
    add_file(create, "endpoint")
    add_name(create, "endpoint; it wins over the file's", required=False)
    add_set(create)
    add_no_wait(create)
    _add_one(_command(below, "show", _show, "show an endpoint, or one of its deployments", _SHOW))
    _command(below, "list", _list, "list the endpoints", _LIST)
    update = _command(below, "update", _update, "change an endpoint, add a deployment, choose the default", _UPDATE)
    add_name(update, "endpoint")
    add_file(update, "endpoint: what it says is changed, the rest stays")
    update.add_argument("--deployment-file", metavar="FILE", help="YAML file of a deployment to add")
    update.add_argument("--deployment", metavar="NAME", help="its name; it wins over the file's")
    update.add_argument(
        "--traffic", nargs="+", default=[], metavar="NAME:100", help="the deployment that is the default"
    )
    add_edits(update)
    add_no_wait(update)
    invoke = _command(below, "invoke", _invoke, "begin a job, and print it", _INVOKE)
    add_name(invoke, "endpoint")
    batch_endpoint_invoke.add_what(invoke)
    delete = _command(below, "delete", _delete, "delete an endpoint, or one of its deployments", _DELETE)
    _add_one(delete)
    add_yes(delete)
    add_no_wait(delete)
    add_name(_command(below, "list-jobs", _list_jobs, "list an endpoint's jobs", _JOBS), "endpoint")


def _command(below: Any, name: str, run: Any, summary: str, example: str) -> argparse.ArgumentParser:
    parser = service_command(below, name, run, summary=summary, example=example)
    parser.add_argument(
        "-t", "--type", type=str.lower, choices=("batch",), default="batch", metavar="TYPE", help="batch"
    )
    return parser


def _add_one(parser: argparse.ArgumentParser) -> None:
    add_name(parser, "endpoint")
    parser.add_argument("--deployment", metavar="NAME", help="one of its deployments")


def _create(options: argparse.Namespace) -> int:
    return show(batch_endpoint.make(server.connect(), options), options, ENDPOINT)


def _show(options: argparse.Namespace) -> int:
    client = server.connect()
    if options.deployment:
        found = client.batch_deployments.get(options.deployment, endpoint_name=options.name)
        return show(found, options, DEPLOYMENT)
    return show(client.batch_endpoints.get(options.name), options, ENDPOINT)


def _list(options: argparse.Namespace) -> int:
    return show_all(server.connect().batch_endpoints.list(), options, ENDPOINT)


def _update(options: argparse.Namespace) -> int:
    edits = edits_of(options)
    chosen = _chosen(options.traffic)
    if not (edits or options.file or options.deployment_file or chosen):
        raise Mistake("endpoint update: say what changes: --deployment-file, --traffic, --set or --file")
    given = reading.read_endpoint(options.file, options.name).endpoint if options.file else {}
    client = server.connect()
    if options.deployment_file:
        names = {"name": options.deployment, "endpoint_name": options.name}
        made = client.batch_deployments.begin_create_or_update(
            reading.read("deployment", options.deployment_file, names, ())
        ).result()
        note(f"deployment {made['name']} of endpoint {options.name} is made", options)
    found = client.batch_endpoints.get(options.name)
    default = Edits(put=[f"defaults.deployment_name={chosen}"] if chosen else [], force_string=True)
    if given or default or edits:
        changed = reading.changed(found, given, default, edits)
        found = client.batch_endpoints.begin_create_or_update(changed).result()
    return show(found, options, ENDPOINT)


def _chosen(traffic: list[str]) -> str | None:
    """Return the deployment that gets all of the traffic; for a batch endpoint, a part is 0 or 100."""
    chosen = []
    for text in (part for word in traffic for part in word.replace(",", " ").split()):
        name, sign, part = text.rpartition(":") if ":" in text else text.rpartition("=")
        if not sign or not name or part not in {"0", _ALL}:
            raise Mistake(f"--traffic {text}: give NAME:100; a batch deployment gets all (100) or none (0)")
        chosen += [name] if part == _ALL else []
    if len(chosen) > 1:
        raise Mistake(f"--traffic: {' and '.join(chosen)} cannot both get 100; name one")
    return chosen[0] if chosen else None


def _invoke(options: argparse.Namespace) -> int:
    return batch_endpoint_invoke.invoke(options)


def _delete(options: argparse.Namespace) -> int:
    what = f"endpoint {options.name} and its deployments"
    if options.deployment:
        what = f"deployment {options.deployment} of endpoint {options.name}"
    if not confirmed(what, yes=options.yes):
        return 0
    client = server.connect()
    if options.deployment:
        client.batch_deployments.begin_delete(options.deployment, endpoint_name=options.name).result()
    else:
        client.batch_endpoints.begin_delete(options.name).result()
    note(f"deleted: {what}", options)
    return 0


def _list_jobs(options: argparse.Namespace) -> int:
    return show_all(server.connect().batch_endpoints.list_jobs(options.name), options, JOB)
