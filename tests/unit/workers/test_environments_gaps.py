from __future__ import annotations

from pathlib import Path

import pytest

from gristmill_workers.environments.gaps import bounds
from gristmill_workers.environments.requirements import read_requirements


def bounded(*lines: str) -> list[str]:
    return [bound for bound, _ in bounds(read_requirements(lines, Path("/"), "x"))]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["pandas==1.5.3"], ["numpy<2"]),
        (["pandas==1.5.*"], ["numpy<2"]),
        (["pandas==2.2.2"], []),
        (["pandas>=1.5"], []),
        (["scikit-learn==0.24.2", "pandas==1.3.0"], ["numpy<1.24"]),
        (["mlflow==1.20.0", "torch==1.13.0"], ["numpy<2", "protobuf<3.21"]),
        (["mlflow-skinny==3.17.2"], []),
        (["git+https://host/pandas.git", "six"], []),
    ],
)
def test_packages_that_break_what_is_pinned_are_bounded(lines, expected):
    assert bounded(*lines) == expected


def test_what_the_deployment_asks_for_itself_is_left_to_it():
    assert bounded("pandas==1.5.3", "numpy>=2") == []


def test_the_reason_is_the_pinned_line():
    found = read_requirements(["Pandas == 1.5.3"], Path("/"), "x")
    assert list(bounds(found)) == [("numpy<2", "pandas==1.5.3")]
