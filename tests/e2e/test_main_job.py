from __future__ import annotations

import json
import os
from pathlib import Path

import pytest


def test_the_same_job_gives_the_same_bytes_with_one_two_and_four_scorers(project, succeed) -> None:
    project.files(203)
    project.script()
    outputs = set()
    for scorers in (1, 2, 4):
        project.deployment(max_concurrency_per_instance=scorers, mini_batch_size=7)
        outputs.add(succeed().rows)

    assert outputs == {"".join(f"{n:05d}.txt\n" for n in range(203)).encode()}


def test_two_instances_on_one_machine_share_the_work_and_give_the_same_bytes(project, succeed) -> None:
    project.files(60)
    project.script("""
        import os, time

        def init():
            pass

        def run(mini_batch):
            time.sleep(0.05)
            return [os.path.basename(path) for path in mini_batch]
    """)
    project.deployment(mini_batch_size=2, instance_count=2)

    ran = succeed()

    assert ran.rows == "".join(f"{n:05d}.txt\n" for n in range(60)).encode()
    assert {instance["slot"] for instance in ran.summary["instances"]} == {0, 1}


def test_ten_thousand_null_items_in_mini_batches_of_ten(project, succeed) -> None:
    project.files(10_000)
    project.script()
    project.deployment(max_concurrency_per_instance=2, mini_batch_size=10)

    ran = succeed()

    assert ran.rows.splitlines() == [f"{n:05d}.txt".encode() for n in range(10_000)]
    assert ran.summary["items"] == {"total": 10_000, "succeeded": 10_000, "failed": 0}
    assert ran.summary["mini_batches"]["total"] == 1000


def test_modules_named_like_ours_are_the_users_own(project, succeed) -> None:
    project.files(3)
    names = ["storage", "workers", "scheduler", "protocol", "utils", "client", "rows", "child", "queue_"]
    for name in names:
        project.script(f"NAME = 'my {name}'", name=f"{name}.py")
    project.script(f"""
        {"; ".join(f"import {name}" for name in names)}

        def init():
            pass

        def run(mini_batch):
            return [" ".join([{", ".join(f"{name}.NAME" for name in names)}]) for _ in mini_batch]
    """)
    project.deployment()

    assert succeed().rows.decode().splitlines()[0] == " ".join(f"my {name}" for name in names)


def test_nothing_of_ours_is_on_the_scripts_path_or_in_its_environment(project, succeed) -> None:
    project.files(1)
    project.script("""
        import os, sys

        def init():
            pass

        def run(mini_batch):
            ours = [path for path in sys.path if "gristmill" in path and "site-packages" not in path]
            secrets = [name for name in os.environ if "REDIS" in name or name.startswith("GRISTMILL")]
            secrets.remove("GRISTMILL_SCORER_OF")  # by which the node's guardian knows what a script started
            return [repr((ours, secrets, os.environ.get("PYTHONPATH")))]
    """)
    project.deployment()

    assert succeed(env={"PYTHONPATH": "/nowhere"}).rows == b"([], [], None)\n"


def test_names_with_spaces_unicode_and_newlines_survive(project, succeed) -> None:
    names = ["a b.txt", "ünï — ✓.txt", "new\nline.txt", "#1%20?.txt", "deep/er/x.txt", "deep-/y.txt"]
    project.files(names)
    project.script("""
        def init():
            pass

        def run(mini_batch):
            return [ascii(open(path).read()) for path in mini_batch]
    """)
    project.deployment(mini_batch_size=2)

    expected = [ascii(Path(name).name) for name in sorted(names, key=os.fsencode)]
    assert succeed().rows.decode().splitlines() == expected


def test_hidden_and_marker_files_are_no_items(project, succeed) -> None:
    project.files(["a.txt", ".hidden", "_SUCCESS", ".git/config", "b/.DS_Store", "b/c.txt", "_mine.txt"])
    project.script()
    project.deployment()

    assert succeed().rows == b"_mine.txt\na.txt\nc.txt\n"


def test_one_file_is_one_mini_batch(project, succeed) -> None:
    project.files(5)
    project.script()
    project.deployment()

    assert succeed(input=project.input / "00003.txt").rows == b"00003.txt\n"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda project: project.input.rmdir(), "input: "),
        (lambda project: None, "no file to score"),
    ],
    ids=["missing", "empty"],
)
def test_an_input_without_files_is_refused_before_anything_starts(project, make, words) -> None:
    project.script()
    project.deployment()
    make(project)

    ran = project.run()

    assert ran.returncode == 2
    assert words in ran.stderr
    assert len(ran.stderr.strip().splitlines()) == 1
    assert not ran.output.exists()


def test_an_output_that_exists_is_kept_unless_overwrite_is_given(project, succeed) -> None:
    project.files(2)
    project.script()
    project.deployment()
    first = succeed()
    project.files(3)

    refused = project.run(output=first.output)
    assert refused.returncode == 2
    assert "predictions.csv exists" in refused.stderr
    assert first.rows.count(b"\n") == 2

    succeed("--overwrite", output=first.output)
    assert first.rows.count(b"\n") == 3


def test_every_fault_of_a_deployment_is_told_at_once_with_its_line(project) -> None:
    project.files(1)
    path = project.folder / "deployment.yml"
    path.write_text(
        "name: ddd\ntype: model\nmodel: {path: nowhere}\nsettings:\n  mini_batch_size: 0\n"
        "  error_threshold: -7\n  logging_level: loud\n  wings: 2\n",
    )

    ran = project.run()

    assert ran.returncode == 2
    for words in ("line 3: model", "line 5: settings.mini_batch_size", "line 6: settings.error_threshold",
                  "line 7: settings.logging_level", "line 8: settings.wings"):  # fmt: skip
        assert words in ran.stderr


def test_the_result_as_a_document(project, succeed) -> None:
    project.files(4)
    project.script()
    project.deployment()

    ran = succeed("-o", "json", "--query", "items.succeeded")

    assert json.loads(ran.stdout) == 4


def test_the_summary_says_what_was_done(project, succeed) -> None:
    project.files(12)
    project.script()
    project.deployment(mini_batch_size=5, max_concurrency_per_instance=2)

    summary = succeed().summary

    assert summary["status"] == "Completed"
    assert summary["items"] == {"total": 12, "succeeded": 12, "failed": 0}
    assert summary["rows"] == 12
    assert summary["mini_batches"] == {"total": 3, "failed": 0, "retried": 0}
    assert summary["deployment"]["settings"]["mini_batch_size"] == 5
    assert set(summary["seconds"]) == {"total", "queue", "plan", "prepare", "init", "score", "run", "aggregate"}
    assert summary["versions"]["gristmill"]
    assert summary["throughput"]["items_per_second"] is not None
