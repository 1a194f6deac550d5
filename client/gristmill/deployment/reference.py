"""The reference page of the deployment file, made from the schema.

`python -m gristmill.deployment.reference > docs/reference/deployment.md` writes it.
"""

from __future__ import annotations

import sys
from importlib import resources
from typing import Final

from gristmill.deployment.schema import ROOT
from gristmill.deployment.sections import Key, Section

_HEAD: Final = "| Key | Type | Default | Range | Meaning |\n| --- | --- | --- | --- | --- |"


def page() -> str:
    """Return the page as Markdown: an introduction, then one table a section."""
    introduction = resources.files("gristmill.deployment").joinpath("reference.md").read_text(encoding="utf-8")
    tables = [_titled(path, rows) for path, rows in rows_of(ROOT).items()]
    return "\n\n".join([introduction.strip(), *tables]) + "\n"


def rows_of(root: Section, *, anchor: str = "", without: str = "") -> dict[str, str]:
    """Return the table of each section of a kind of document, by the section's path; "" for the root.

    `anchor` stands before the path in the anchors of the tables; keys of the meaning `without` are left out.
    """
    sections: dict[str, list[Key]] = {}
    for section, key in root.walk():
        if key.meaning != without:
            sections.setdefault(section.path, []).append(key)
    return {path: "\n".join([_HEAD, *(_row(key, anchor) for key in keys)]) for path, keys in sections.items()}


def _titled(path: str, rows: str) -> str:
    title = f"## `{path}`" if path else "## The file's root"
    return f"{title}\n\n{rows}"


def _row(key: Key, anchor: str) -> str:
    words = f"[mapping](#{anchor}{_anchor(key.kind)})" if isinstance(key.kind, Section) else key.kind.words
    name = f"`{key.name}`" + (" ⁺" if key.ours else "")
    return f"| {name} | {words} | {key.default} | {key.kind.limits} | {key.meaning} |"


def _anchor(section: Section) -> str:
    return section.path.replace(".", "")


if __name__ == "__main__":
    sys.stdout.write(page())
