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
    sections: dict[str, list[Key]] = {}
    for section, key in ROOT.walk():
        sections.setdefault(section.path, []).append(key)
    tables = [_table(path, keys) for path, keys in sections.items()]
    return "\n\n".join([introduction.strip(), *tables]) + "\n"


def _table(path: str, keys: list[Key]) -> str:
    title = f"## `{path}`" if path else "## The file's root"
    return "\n".join([title, "", _HEAD, *map(_row, keys)])


def _row(key: Key) -> str:
    words = f"[mapping](#{_anchor(key.kind)})" if isinstance(key.kind, Section) else key.kind.words
    name = f"`{key.name}`" + (" ⁺" if key.ours else "")
    return f"| {name} | {words} | {key.default} | {key.kind.limits} | {key.meaning} |"


def _anchor(section: Section) -> str:
    return section.path.replace(".", "")


if __name__ == "__main__":
    sys.stdout.write(page())
