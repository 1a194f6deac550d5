"""Spark on two local cores: mapInPandas over paths."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
from driving import output, put, task, text
from pyspark.sql import SparkSession

if __name__ == "__main__":
    wanted = task()
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    settings = {"spark.ui.enabled": "false", "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1"}
    builder = SparkSession.builder.master("local[2]")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.addPyFile(str(Path(__file__).with_name("driving.py")))

    def scored(frames: Iterator[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        for frame in frames:
            paths = frame["path"].tolist()
            for at in range(0, len(paths), wanted.mini_batch):
                yield pd.DataFrame({"text": [text(wanted, paths[at : at + wanted.mini_batch])]})

    paths = spark.createDataFrame([(path,) for path in wanted.files()], "path string").repartition(8)
    # Without it one partition would be scored at a time.
    rows = paths.mapInPandas(scored, "text string").toLocalIterator(prefetchPartitions=True)
    with output(wanted) as (_, stream):
        put(stream, (row.text for row in rows))
    spark.stop()
