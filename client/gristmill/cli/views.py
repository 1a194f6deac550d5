"""What is printed of a server's documents: whole as JSON, and the columns of a table that a person reads."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from gristmill.cli.output import print_result
from gristmill.service.resource import plain


@dataclass(frozen=True)
class View:
    """The table of one kind of document."""

    #: Title and dotted path of each column; of several paths parted by `|` the first that is there counts.
    columns: Mapping[str, str]

    def row(self, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return one line of the table."""
        return {title: _first(document, paths) for title, paths in self.columns.items()}


ENDPOINT: Final = View(
    {
        "Name": "name",
        "Default": "defaults.deployment_name",
        "State": "provisioning_state",
        "Scoring URI": "scoring_uri",
    }
)
DEPLOYMENT: Final = View(
    {
        "Name": "name",
        "Endpoint": "endpoint_name",
        "Model": "model.path|model.name|model",
        "Compute": "compute",
        "Instances": "resources.instance_count|settings.instance_count",
        "State": "provisioning_state",
    }
)
MODEL: Final = View(
    {
        "Name": "name",
        "Version": "version|latest_version",
        "Type": "type",
        "Path": "path",
        "Created": "creation_context.created_at",
    }
)
DATA: Final = MODEL
ENVIRONMENT: Final = View(
    {
        "Name": "name",
        "Version": "version|latest_version",
        "Image": "image",
        "Created": "creation_context.created_at",
    }
)
DATASTORE: Final = View({"Name": "name", "Type": "type", "URL": "root|url|path|account_name|bucket"})
COMPUTE: Final = View(
    {"Name": "name", "Type": "type", "Min": "min_instances", "Max": "max_instances", "Priority": "priority"}
)
JOB: Final = View(
    {
        "Name": "name",
        "Status": "status",
        "Detail": "detail",
        "Endpoint": "endpoint_name",
        "Deployment": "deployment_name",
        "Submitted": "submitted",
    }
)
LOG: Final = View({"Path": "path", "Size": "size"})
ERROR: Final = View({"File": "file", "Category": "category", "Attempts": "attempts", "Message": "message"})


def show(document: Mapping[str, Any], options: argparse.Namespace, view: View) -> int:
    """Print a document as the command's options ask; return the exit code."""
    return _print(plain(document), options, view)


def show_all(documents: Iterable[Mapping[str, Any]], options: argparse.Namespace, view: View) -> int:
    """Print documents, as `show` does one."""
    return _print([plain(document) for document in documents], options, view)


def note(text: str, options: argparse.Namespace) -> None:
    """Write a line that is no result on stderr, unless only errors are wanted there."""
    if not options.only_show_errors:
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def _print(found: Any, options: argparse.Namespace, view: View) -> int:
    if options.format == "table" and options.query is None:
        found = [view.row(document) for document in found] if isinstance(found, list) else view.row(found)
    print_result(found, options.format, options.query)
    return 0


def _first(document: Mapping[str, Any], paths: str) -> Any:
    for path in paths.split("|"):
        found = _at(document, path)
        if found is not None and not isinstance(found, (dict, list)):
            return found
    return None


def _at(document: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(document, Mapping):
            return None
        document = document.get(key)
    return document
