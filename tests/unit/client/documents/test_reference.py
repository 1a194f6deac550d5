from __future__ import annotations

import re
from pathlib import Path

import pytest

from gristmill.deployment.sections import Key
from gristmill.documents import load_endpoint
from gristmill.documents.reference import PAGES, page

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "files.md"
KEYS = {
    f"{kind.title}/{section.path}/{key.name}": key
    for kind in PAGES
    for root in kind.roots
    for section, key in root.walk()
}


def test_the_page_is_what_the_schemas_say():
    assert PAGE.read_text(encoding="utf-8") == page(), (
        "python -m gristmill.documents.reference > docs/reference/files.md"
    )


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_every_key_has_a_meaning_in_a_sentence(key: Key):
    assert key.meaning.endswith((".", ")."))
    assert key.kind.words
    assert "|" not in key.default + key.meaning + key.kind.words + key.kind.limits


def test_every_reader_has_its_section():
    titles = re.findall(r"^## (.+)$", page(), re.MULTILINE)
    assert titles == ["Endpoint", "Model", "Data", "Environment", "Compute", "Datastore", "Inputs of a job"]


def test_the_example_on_the_page_is_an_endpoint(write):
    (text,) = re.findall(r"```yaml\n(.*?)```", page(), re.DOTALL)
    found = load_endpoint(write(text))
    assert found.endpoint["defaults"] == {"deployment_name": "mnist-torch"}
    assert len(found.deployments) == 1


def test_every_link_on_the_page_leads_to_a_heading():
    anchors = {
        re.sub(r"[^\w -]", "", title).lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", page(), re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", page())) <= anchors
