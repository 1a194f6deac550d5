from __future__ import annotations

import pytest

from gristmill_workers.environments.pip_settings import uv_variables


@pytest.fixture
def variables(tmp_path):
    def read(**environment):
        private = {"HOME": str(tmp_path), "XDG_CONFIG_DIRS": str(tmp_path / "none")}
        return uv_variables({**private, **environment}, tmp_path / "prefix")

    return read


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_pips_variables_are_handed_on(variables):
    found = variables(
        PIP_INDEX_URL="http://a/simple",
        PIP_EXTRA_INDEX_URL="http://b/ http://c/",
        PIP_FIND_LINKS="/w /x",
        PIP_DEFAULT_TIMEOUT="9",
    )
    assert found["UV_DEFAULT_INDEX"] == "http://a/simple"
    assert found["UV_INDEX"] == "http://b/ http://c/"
    assert found["UV_FIND_LINKS"] == "/w,/x"


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("UV_INDEX_URL", "UV_DEFAULT_INDEX"),
        ("UV_DEFAULT_INDEX", "UV_DEFAULT_INDEX"),
        ("UV_EXTRA_INDEX_URL", "UV_INDEX"),
    ],
)
def test_what_is_set_for_uv_wins(variables, name, variable):
    found = variables(PIP_INDEX_URL="http://a/", PIP_EXTRA_INDEX_URL="http://b/", **{name: "http://mine/"})
    assert variable not in found


def test_pips_files_are_read_later_ones_over_earlier_and_variables_over_all(variables, tmp_path):
    write(tmp_path / ".pip" / "pip.conf", "[global]\nindex-url = http://a/\nfind-links = /w\ntimeout = 7\n")
    write(tmp_path / ".config" / "pip" / "pip.conf", "[global]\nindex_url = http://b/\n[install]\nno-index = true\n")
    found = variables()
    assert found["UV_DEFAULT_INDEX"] == "http://b/"
    assert found["UV_NO_INDEX"] == "true"
    assert found["UV_HTTP_TIMEOUT"] == "7"
    write(tmp_path / "explicit", "[install]\nindex-url = http://c/\n")
    assert variables(PIP_CONFIG_FILE=str(tmp_path / "explicit"))["UV_DEFAULT_INDEX"] == "http://c/"
    assert variables(PIP_INDEX_URL="http://d/")["UV_DEFAULT_INDEX"] == "http://d/"
    assert variables(PIP_CONFIG_FILE="/dev/null") == {}


def test_several_values_may_stand_on_lines_of_their_own(variables, tmp_path):
    write(tmp_path / ".pip" / "pip.conf", "[global]\nextra-index-url =\n    http://a/\n    http://b/%20x\n")
    assert variables()["UV_INDEX"] == "http://a/ http://b/%20x"


def test_a_file_that_is_none_and_a_timeout_that_uv_cannot_read_say_nothing(variables, tmp_path):
    write(tmp_path / ".pip" / "pip.conf", "index-url = http://a/\n")
    write(tmp_path / "prefix" / "pip.conf", "[global]\ntimeout = 1.5\n")
    found = variables()
    assert "UV_HTTP_TIMEOUT" not in found
    assert found.get("UV_DEFAULT_INDEX") != "http://a/"
