"""The reference page of the files other than a deployment's, made from their schemas.

`python -m gristmill.documents.reference > docs/reference/files.md` writes it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib import resources
from typing import Final

from gristmill.deployment.reference import rows_of
from gristmill.deployment.sections import Section
from gristmill.documents import asset_schema, computes, datastores, endpoint_schema, job_inputs
from gristmill.documents.described import SHOWN


@dataclass(frozen=True, kw_only=True)
class Page:
    """One kind of file on the page."""

    title: str
    #: The command that takes it.
    command: str
    roots: tuple[Section, ...]
    #: Whether each type of it has a table of its own.
    by_type: bool = False


PAGES: Final = (
    Page(title="Endpoint", command="batch-endpoint create -f", roots=(endpoint_schema.ENDPOINT,)),
    Page(title="Model", command="model create -f", roots=(asset_schema.MODEL,)),
    Page(title="Data", command="data create -f", roots=(asset_schema.DATA,)),
    Page(title="Environment", command="environment create -f", roots=(asset_schema.ENVIRONMENT,)),
    Page(title="Compute", command="compute create -f", roots=(computes.COMPUTE,)),
    Page(title="Datastore", command="datastore create -f", roots=tuple(datastores.STORES.values()), by_type=True),
    Page(title="Inputs of a job", command="batch-endpoint invoke -f", roots=(job_inputs.JOB,)),
)


def page() -> str:
    """Return the page as Markdown: an introduction, then for each kind of file one table a section."""
    introduction = resources.files("gristmill.documents").joinpath("reference.md").read_text(encoding="utf-8")
    return "\n\n".join([introduction.strip(), *map(_kind, PAGES)]) + "\n"


def _kind(kind: Page) -> str:
    tables: dict[str, str] = {}
    for root in kind.roots:
        anchor = f"{kind.title.lower().replace(' ', '-')}-"
        tables |= rows_of(root, anchor=anchor, without=SHOWN)
    titled = [_titled(kind, path, rows) for path, rows in tables.items()]
    return "\n\n".join([f"## {kind.title}", f"`gristmill {kind.command} FILE`", *titled])


def _titled(kind: Page, path: str, rows: str) -> str:
    if not path:
        return rows
    is_root = kind.by_type and any(root.path == path for root in kind.roots)
    return f"### {kind.title}: `{'type: ' if is_root else ''}{path}`\n\n{rows}"


if __name__ == "__main__":
    sys.stdout.write(page())
