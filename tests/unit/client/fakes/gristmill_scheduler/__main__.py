"""Stands in for the scheduler: speaks its protocol, and lets the job end as FAKE_SCHEDULER says."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

from gristmill.local.ahead import told

if "--told" in sys.argv:
    sys.argv[1:] = told()
notes = Path(os.environ["FAKE_NOTES"])
mode = os.environ.get("FAKE_SCHEDULER", "completes")
(notes / "scheduler.pid").write_text(str(os.getpid()))


def tell(event: str, **document: object) -> None:
    sys.stdout.write(json.dumps({"event": event, **document}) + "\n")
    sys.stdout.flush()


def error(kind: str, message: str, detail: str = "") -> dict[str, str]:
    return {"class": kind, "message": message, "detail": detail}


def progress(name: str, done: int, failed: int = 0) -> None:
    tell(
        "progress",
        job=name,
        elapsed=0.5,
        mini_batches={"planned": 10, "plan_closed": True, "done": done, "running": 1, "waiting_retry": 0},
        items={"planned": 100, "succeeded": done * 10 - failed, "failed": failed},
        rows=done * 10 - failed,
        rate=12.5,
        eta=3.0,
        instances=1,
        scorers=2,
        retries={"exception": 2},
    )


def finish(mode: str, name: str, folder: Path, output: Path) -> None:
    ends = {
        "fails": (
            "Failed",
            error("InitFailed", "init() of s.py failed: KeyError: 'x'", "Traceback\n  in init\nKeyError: 'x'"),
        ),
        "vanishes": ("Failed", error("JobNotFound", f"{folder}: job.json is missing")),
        "cancels": ("Canceled", error("JobCanceled", f"job {name} was cancelled")),
    }
    status, fault = ends.get(mode, ("Completed", None))
    places = dict.fromkeys(("output", "summary", "errors"))
    if status == "Completed":
        (output / "predictions.csv").write_text("row,prediction,file_name\n0,7,a.png\n1,3,b.png\n")
        (output / "summary.json").write_text(
            json.dumps({"items": {"in": 100, "out": 99, "failed": 1}, "status": status})
        )
        (output / "errors.jsonl").write_text(json.dumps({"file": "c.png", "category": "exception"}) + "\n")
        places = {
            "output": str(output / "predictions.csv"),
            "summary": str(output / "summary.json"),
            "errors": str(output / "errors.jsonl"),
        }
    (folder / "result.json").write_text(json.dumps({"status": status}))
    tell("finished", job=name, status=status, error=fault, folder=str(folder), **places)


def submitted(command: dict) -> tuple[str, Path, Path]:
    if command["command"] in {"resume", "take"}:
        folder = Path(command["folder"])
        document = json.loads((folder / "job.json").read_text())
    else:
        document = command["job"]
        folder = Path(document["output"]["folder"]) / ".gristmill" / document["name"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "job.json").write_text(json.dumps(document))
    tell("submitted", job=document["name"], folder=str(folder), leader=f"leader of {os.getpid()}")
    return document["name"], folder, Path(document["output"]["folder"])


def wait_for_the_others() -> None:
    """As a real job, this one cannot end before the others are there."""
    embedded = os.environ["GRISTMILL_REDIS_URL"].startswith("unix:")
    needed = ["node.pid", *(["server.pid"] if embedded else [])]
    deadline = time.monotonic() + 10
    while not all((notes / name).exists() for name in needed) and time.monotonic() < deadline:
        time.sleep(0.005)


def serve() -> None:
    tell("ready")
    wait_for_the_others()
    first = json.loads(sys.stdin.readline() or sys.exit("no command"))
    (notes / "command.json").write_text(json.dumps(first))
    if mode == "refuses":
        tell("refused", error=error("OutputExists", "output: predictions.csv exists"))
        sys.stdin.read()
        return
    name, folder, output = submitted(first)
    tell("status", job=name, status="Queued", detail="waiting for an instance")
    if mode == "dies":
        sys.exit("scheduler: out of luck")
    tell("status", job=name, status="Running", detail="")
    progress(name, 4)
    if mode in {"waits", "stays"}:
        (notes / "running").touch()
        line = sys.stdin.readline()
        while mode == "stays":
            time.sleep(1)
        if not line:
            return
        assert json.loads(line) == {"command": "cancel", "job": name}
        finish("cancels", name, folder, output)
    else:
        progress(name, 10, failed=1)
        finish(mode, name, folder, output)
    sys.stdin.read()


serve()
