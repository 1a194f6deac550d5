from __future__ import annotations

import pytest
from packaging.version import Version

from gristmill.errors import EnvironmentFailed
from gristmill_workers.environments.versions import ANY_PYTHON, conda_specifier, python_wish


@pytest.mark.parametrize(
    ("written", "yes", "no"),
    [
        ("=3.8.5", ["3.8.5", "3.8.18"], ["3.9.5", "3.80.5"]),
        ("==3.8.5", ["3.8.18"], ["3.9.1"]),
        ("=3.8", ["3.8.0", "3.8.18"], ["3.9.0"]),
        (" 3.8.*", ["3.8.18"], ["3.9.0"]),
        ("=3.8.*", ["3.8.18"], ["3.9.0"]),
        ("=3.8.5=h12debdb_0", ["3.8.18"], ["3.9.0"]),
        (" 3.8.5 h12debdb_0", ["3.8.18"], ["3.9.0"]),
        ("=3", ["3.8.18", "3.13.0"], ["2.7.18"]),
        (">=3.9,<3.11", ["3.9.0", "3.10.13"], ["3.8.18", "3.11.0"]),
        (">=3.9, !=3.10.*", ["3.9.0", "3.11.1"], ["3.10.4"]),
        ("=3.8|=3.10", ["3.8.1", "3.10.1"], ["3.9.1"]),
        ("", ["3.8.1", "3.14.0"], []),
        ("*", ["3.8.1"], []),
    ],
)
def test_a_python_version_is_read_as_conda_writes_it(written, yes, no):
    wish = python_wish(written, "environment.conda_file")
    assert [text for text in [*yes, *no] if wish.accepts(Version(text))] == yes


def test_only_a_full_version_is_exact():
    assert python_wish("=3.8.5", "x").exact == Version("3.8.5")
    assert python_wish("=3.8.5=h12_0", "x").exact == Version("3.8.5")
    assert python_wish("=3.8", "x").exact is None
    assert python_wish(">=3.8.5", "x").exact is None
    assert python_wish("", "x") is ANY_PYTHON


@pytest.mark.parametrize("written", ["=three", "=3.8.5,", ">>3.8", "=3.8.x"])
def test_what_is_no_version_is_refused_with_its_place(written):
    with pytest.raises(EnvironmentFailed, match=r"environment.conda_file: 'python.*write python=3.11"):
        python_wish(written, "environment.conda_file")


def test_pythons_older_than_a_scorer_runs_on_are_known_as_such():
    assert python_wish("=3.7.3", "x").too_old()
    assert python_wish("<3.8", "x").too_old()
    assert not python_wish("=3.8.5", "x").too_old()
    assert not python_wish(">=3.8.16,<3.8.18", "x").too_old()


@pytest.mark.parametrize(
    ("written", "specifier"),
    [
        ("=1.1", "==1.1.*"),
        ("==1.1", "==1.1"),
        (" 1.1.*", "==1.1.*"),
        (">=1,<2", "<2,>=1"),
        ("", ""),
        ("=1.1=py38_0", "==1.1.*"),
    ],
)
def test_a_conda_packages_version_is_turned_into_pips_way(written, specifier):
    assert str(conda_specifier(written)) == specifier


def test_alternatives_have_no_form_in_pips_way():
    with pytest.raises(ValueError, match=r"1.1\|1.2"):
        conda_specifier("=1.1|1.2")
