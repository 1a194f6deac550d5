"""The logs that a whole job leaves, beside what its script says: the report of its attempts above all."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

MIXED = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        if "00003.txt" in names:
            raise ValueError("no, such digit")
        if "00006.txt" in names:
            time.sleep(60)
        return names
"""


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_report_has_a_row_for_every_attempt_and_agrees_with_the_summary(project, succeed) -> None:
    project.files(20)
    project.script(MIXED)
    project.deployment(
        mini_batch_size=2,
        max_concurrency_per_instance=2,
        retry_settings={"max_retries": 2, "timeout": 1},
    )

    ran = succeed()

    logs = ran.job / "logs"
    rows = table(logs / "sys/job_report/processed_mini-batches.csv")
    attempts, items = ran.summary["attempts"], ran.summary["items"]
    assert len(rows) == attempts["counted"] + sum(attempts["retried"].values()) == 12
    assert Counter(row["Status"] for row in rows) == {"RUN_DONE": 8, "RUN_EXCEPTION": 2, "RUN_TIMEOUT": 2}
    numbers = [int(row["Mini-batch Id"]) for row in rows]
    assert numbers == sorted(numbers)
    last = {row["Mini-batch Id"]: row for row in rows}
    for column, count in (("Total", "total"), ("Succeeded", "succeeded"), ("Failed", "failed")):
        assert sum(int(row[column]) for row in last.values()) == items[count]
    failed = [(row["Mini-batch Id"], row["Picked Count"]) for row in rows if row["Status"] != "RUN_DONE"]
    assert failed == [("1", "1"), ("1", "2"), ("3", "1"), ("3", "2")]
    assert {"ValueError: no, such digit" in row["Error Message"] for row in rows if row["Mini-batch Id"] == "1"} == {
        True
    }
    assert all(float(row["Run Method Seconds"]) >= 1 for row in rows if row["Status"] == "RUN_TIMEOUT")
    (node,) = table(logs / "sys/job_report/node_summary.csv")
    processes = table(logs / "sys/job_report/process_summary.csv")
    assert int(node["Attempts"]) == sum(int(row["Attempts"]) for row in processes) == 12
    assert {row["Process"] for row in rows} <= {row["Process"] for row in processes}
    assert len(processes) == 4  # two took the places of those that hung
    assert "retried exception 1, timeout 1" in next(logs.glob("job_result.*.txt")).read_text()
    assert "10 mini-batches created, 10 processed" in next(logs.glob("job_progress_overview.*.txt")).read_text()
    assert "ValueError: no, such digit" in (logs / "user/error.txt").read_text()
    assert (logs / "readme.txt").is_file()
    steps = (logs / "sys/master_role.txt").read_text()
    assert all(
        step in steps for step in ("(new)", "10 mini-batches", "instance 0 is asked for", "aggregator", "Completed")
    )
    (used,) = (logs / "sys/perf").glob("*/processes_resource_usage.csv")
    assert {row["Process"] for row in processes} & {row["Process"] for row in table(used)}
    assert {row["Folder"] for row in table(used.with_name("node_disk_usage.csv"))} == {"scratch", "cache", "job"}
    assert table(used.with_name("node_resource_usage.csv"))
    assert not list(logs.glob("job_error.*"))


def test_a_job_that_failed_says_why_and_has_its_report(project) -> None:
    project.files(4)
    project.script(MIXED)
    project.deployment(mini_batch_size=4, error_threshold=1)

    ran = project.run()

    assert ran.returncode != 0
    logs = ran.job / "logs"
    (why,) = logs.glob("job_error.*.txt")
    assert "ThresholdExceeded" in why.read_text()
    assert (logs / "user" / why.name).read_text() == why.read_text()
    (row,) = table(logs / "sys/job_report/processed_mini-batches.csv")
    assert (row["Mini-batch Id"], row["Status"], row["Failed"]) == ("0", "RUN_EXCEPTION", "4")
