from __future__ import annotations

import logging
import uuid
from pathlib import Path

from gristmill.log_context import about, ids
from gristmill_storage.files import open_store
from gristmill_workers.job_logs import JobLogs


def test_logs_go_straight_into_a_folder_of_this_machine(tmp_path: Path) -> None:
    logs = JobLogs(open_store(str(tmp_path / "job")), node="n", slot=0, scratch=tmp_path / "scratch")
    logs.system.info("hello")
    logs.script_error(3, 2, "exception", "no", "Traceback\n")
    logs.close()

    assert logs.output("stdout", 7) == tmp_path / "job/logs/user/stdout/n/process007.stdout.txt"
    assert "hello" in (tmp_path / "job/logs/sys/node/n/_main.txt").read_text()
    assert (
        "mini-batch 3, attempt 2: exception: no\nTraceback"
        in (tmp_path / "job/logs/user/error/n/errors.txt").read_text()
    )
    assert not (tmp_path / "scratch").exists()


def test_logs_are_copied_to_a_folder_elsewhere(tmp_path: Path) -> None:
    folder = open_store(f"memory://{uuid.uuid4().hex}/job")
    logs = JobLogs(folder, node="n", slot=1, scratch=tmp_path)
    logs.system.info("hello")
    printed = logs.output("stderr", 0)
    printed.parent.mkdir(parents=True)
    printed.write_bytes(b"\xff printed")
    logs.close()

    assert b"hello" in folder.read("logs/sys/node/n-1/_main.txt")
    assert folder.read("logs/user/stderr/n-1/process000.stderr.txt") == b"\xff printed"


def test_a_log_that_cannot_be_written_is_dropped_with_one_warning(tmp_path: Path, caplog) -> None:
    (tmp_path / "job").mkdir()
    (tmp_path / "job/logs").write_text("in the way of the folder")
    logs = JobLogs(open_store(str(tmp_path / "job")), node="n", slot=0, scratch=tmp_path / "scratch")

    for _ in range(3):
        logs.system.info("hello")
        logs.script_error(3, 2, "exception", "no", "Traceback\n")
    logs.close()

    of_main = [record for record in caplog.records if "_main.txt: lines of this log are dropped" in record.message]
    assert [record.levelname for record in of_main] == ["WARNING"]


def test_what_gristmill_warns_of_is_beside_what_it_says(tmp_path: Path) -> None:
    with about(job="left", instance="n-0-1"):
        logs = JobLogs(open_store(str(tmp_path)), node="n", slot=0, scratch=tmp_path)
    for instance in ("n-0-1", "n-1-2"):
        with about(job="left", instance=instance):
            logging.getLogger("gristmill.node").warning("%s is troubled", instance)
            logs.system.warning("a script's fault", extra=ids(mini_batch=3))
    logs.close()
    with about(job="left", instance="n-0-1"):
        logging.getLogger("gristmill.node").warning("later")

    (line,) = (tmp_path / "logs/sys/error/n.txt").read_text().splitlines()
    assert line.endswith("WARNING n-0-1 is troubled")
