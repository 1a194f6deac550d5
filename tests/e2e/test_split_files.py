"""Tables that are cut into items: the same output as of whole ones, and failures that cost a slice, not a file."""

from __future__ import annotations

import json
import subprocess

import pandas as pd


def rows_of(data: bytes) -> list[list[str]]:
    """Rows without the column that says how many rows their call had."""
    return [[*line.split(",")[:2], *line.split(",")[3:]] for line in data.decode().splitlines()]


def job(project, command: str, output: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        project.command("job", command, output), cwd=project.folder, capture_output=True, text=True, check=False
    )


def test_slices_give_what_whole_files_give_and_a_bad_one_is_tried_again_by_itself(
    project, succeed, use, doubler
) -> None:
    table = pd.DataFrame({"note": ['a "b",\n\nc', "", "x"] * 100, "x": range(300)})
    table.to_csv(project.input / "big#1.csv", index=False)
    table.to_parquet(project.input / "p.parquet", row_group_size=50)
    (project.input / "small.csv").write_text("x,note\n7,a\n")
    use(doubler)
    whole = succeed()
    text = (project.input / "big#1.csv").read_text()
    (project.input / "big#1.csv").write_text(text.replace(",150\n", ",15O\n"))
    use(doubler, split_files=True, split_bytes=500, max_concurrency_per_instance=2, error_threshold=1)

    ran = succeed()

    (error,) = ran.errors
    assert error["file"].startswith("big#1.csv#rows=")
    first, last = error["file"].split("rows=")[1].split(",")[0].split("-")
    assert f"rows {first} to {last} (bytes " in error["message"]
    lost = range(int(first), int(last) + 1)
    assert 150 in lost
    kept = [row for row in rows_of(whole.rows) if row[2] != "big#1.csv" or int(row[0]) not in lost]
    assert rows_of(ran.rows) == kept
    assert ran.summary["items"]["failed"] == 1
    assert ran.summary["items"]["total"] > 10
    (project.input / "big#1.csv").write_text(text)
    assert job(project, "retry-failed", ran.output).returncode == 0
    assert job(project, "verify", ran.output).returncode == 0
    assert rows_of((ran.output / "predictions.csv").read_bytes()) == rows_of(whole.rows)


def test_what_is_no_table_is_refused_in_a_line(project, use, doubler) -> None:
    (project.input / "a.csv").write_text("x\n1\n")
    (project.input / "b.csv.gz").write_text("packed")
    use(doubler, split_files=True)

    ran = project.run()

    assert ran.returncode != 0
    assert "b.csv.gz, which is packed" in ran.stderr + ran.stdout
    assert json.loads((ran.output / ".gristmill").glob("*/result.json").__next__().read_text())["status"] == "Failed"
