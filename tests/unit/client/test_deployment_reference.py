from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gristmill import spec
from gristmill.deployment.reference import page
from gristmill.deployment.schema import FORMATS, RETRY_SETTINGS, ROOT, SETTINGS
from gristmill.deployment.sections import Key

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "deployment.md"
REGENERATE = "python -m gristmill.deployment.reference > docs/reference/deployment.md"


def documented() -> set[str]:
    """Return the dotted keys of the page's tables."""
    keys, path = set(), ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        heading = re.fullmatch(r"## (?:`(?P<path>[\w.]+)`|The file's root)", line)
        row = re.match(r"\| `(?P<key>[\w$]+)`", line)
        if heading:
            path = f"{heading['path']}." if heading["path"] else ""
        elif row:
            keys.add(path + row["key"])
    return keys


def known() -> dict[str, Key]:
    """Return every key that is checked, by its dotted path."""
    return {f"{section.path}.{key.name}".lstrip("."): key for section, key in ROOT.walk()}


def test_every_key_is_documented_and_no_other():
    assert documented() == known().keys()


def test_the_page_is_what_the_schema_says():
    assert PAGE.read_text(encoding="utf-8") == page(), REGENERATE


def test_the_page_can_be_written_by_its_command():
    done = subprocess.run(
        [sys.executable, "-m", "gristmill.deployment.reference"], capture_output=True, check=True, timeout=60
    )
    assert done.stdout.decode() == page()


@pytest.mark.parametrize("path", known())
def test_every_key_has_a_meaning_in_a_sentence(path):
    key = known()[path]
    assert key.meaning.endswith(".")
    assert key.kind.words
    assert "|" not in key.default + key.meaning + key.kind.words + key.kind.limits


@pytest.mark.parametrize("section", [SETTINGS, RETRY_SETTINGS], ids=["settings", "retry_settings"])
def test_a_default_on_the_page_is_the_specs(section):
    defaults = spec.Settings() if section is SETTINGS else spec.RetrySettings()
    plain = {key.name: key.default.strip("`") for key in section.keys if re.fullmatch(r"`\w+`|-?\d+", key.default)}
    plain.pop("instance_count", None)
    assert len(plain) >= 2
    assert plain == {
        name: str(getattr(defaults, name)).replace("True", "true").replace("False", "false") for name in plain
    }


def test_every_setting_of_the_spec_can_be_given():
    names = {key.name for key in SETTINGS.keys}
    assert set(spec.Settings.__dataclass_fields__) == names - {"instance_count", "environment_variables"}


def test_every_output_format_of_the_spec_can_be_given():
    assert set(FORMATS.values()) == set(spec.RowFormat)


def test_the_example_on_the_page_is_a_deployment(load):
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert load(text, require_names=True).settings == spec.Settings(max_concurrency_per_instance=2)
