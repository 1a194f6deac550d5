"""Predictions wait for the end of their file, in memory and then on disk, and come back unchanged."""

from __future__ import annotations

import os

import numpy as np
import pandas as pd
import pytest

from gristmill_workers.scorer.spool import Spool

FRAMES = [
    pd.DataFrame({"prediction": [1, 2, 3]}),
    pd.DataFrame({"a": np.array([1.5, np.nan], "float32"), "b": [True, False], "c": ["x", 'é" ,\n']}),
    pd.DataFrame({"t": pd.to_datetime(["2024-01-01", None]), "s": np.array(["p", "q"], dtype=object)}),
    pd.DataFrame({"nested": pd.Series([[1], {"k": 2}], dtype=object)}),
    pd.DataFrame({"gaps": pd.Series(["x", None], dtype=object)}),
    pd.DataFrame({"wide": pd.array([1, None], dtype="Int64")}),
]


@pytest.mark.parametrize("limit", [0, 40, 1 << 20])
def test_tables_come_back_in_order_and_unchanged(limit):
    spool = Spool(limit)
    for frame in FRAMES:
        spool.add(frame)
    for found, given in zip(spool, FRAMES, strict=True):
        pd.testing.assert_frame_equal(found, given, check_dtype=False)
        for name in given.columns:
            if given[name].dtype != object and isinstance(given[name].dtype, np.dtype):
                assert found[name].dtype == given[name].dtype
    spool.close()


def test_only_what_is_over_the_limit_goes_to_disk(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spool = Spool(limit=16)
    spool.add(pd.DataFrame({"a": [1, 2]}))
    assert spool._file is None
    spool.add(pd.DataFrame({"a": [3, 4]}))
    assert spool._file is not None
    assert [frame["a"].tolist() for frame in spool] == [[1, 2], [3, 4]]
    # Unnamed: a killed scorer leaves nothing behind.
    assert os.listdir(tmp_path) == []  # noqa: PTH208
    spool.close()
