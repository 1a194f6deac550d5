"""Inputs and outputs that are not on this machine: a real S3 server and a real web server."""

from __future__ import annotations

import functools
import http.server
import io
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from quick_s3 import one_certificate

from gristmill.trees import Tree
from serving import Serving


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, str], object]]:
    """A real S3 server: the environment that leads to it, and a client."""
    import boto3
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_CA_BUNDLE": str(one_certificate(tmp_path_factory.mktemp("authorities"))),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "a-secret-that-must-not-show",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    client = boto3.client(
        "s3",
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="box")
    yield environment, client
    client.close()
    server.stop()


@pytest.fixture
def website(tmp_path) -> Iterator[tuple[str, object]]:
    """A folder served over http."""
    folder = tmp_path / "site"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            ASKED[self.path] = time.time()
            super().do_GET()

    class Patient(http.server.ThreadingHTTPServer):
        # Of twelve connections at once the usual five may wait; the system tries another one again after a second.
        request_queue_size = 128

    server = Patient(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", folder
    server.shutdown()
    thread.join()
    server.server_close()


#: When each path of the web server was asked for, last.
ASKED: dict[str, float] = {}

READ = """
    import os

    def init():
        pass

    def run(mini_batch):
        return [open(path).read() for path in mini_batch]
"""


def test_a_folder_of_an_object_store_is_fetched_and_scored(project, succeed, s3) -> None:
    environment, client = s3
    for n in range(30):
        client.put_object(Bucket="box", Key=f"input/deep/{n:03d} #%.txt", Body=f"object {n}".encode())
    project.script(READ)
    project.deployment(mini_batch_size=4, max_concurrency_per_instance=2)

    ran = succeed(input="s3://box/input", env=environment)

    assert ran.rows.decode().splitlines() == [f"object {n}" for n in range(30)]
    logs = "".join(path.read_text() for path in ran.job.rglob("*") if path.is_file())
    assert environment["AWS_SECRET_ACCESS_KEY"] not in logs + ran.stderr + ran.stdout


def test_the_output_can_be_an_object_store(project, s3) -> None:
    environment, client = s3
    project.files(20)
    project.script()
    project.deployment(mini_batch_size=3, max_concurrency_per_instance=2)

    ran = project.run("-o", "json", "--query", "rows", output="s3://box/scores", env=environment)

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout) == 20
    body = client.get_object(Bucket="box", Key="scores/predictions.csv")["Body"].read()
    assert body.decode().splitlines() == [f"{n:05d}.txt" for n in range(20)]
    summary = json.loads(client.get_object(Bucket="box", Key="scores/summary.json")["Body"].read())
    assert summary["items"]["succeeded"] == 20

    again = project.run(output="s3://box/scores", env=environment)
    assert again.returncode == 2
    assert "predictions.csv exists" in again.stderr


def test_a_file_of_a_web_server_is_scored(project, succeed, website) -> None:
    url, folder = website
    (folder / "one.txt").write_text("over http")
    project.script(READ)
    project.deployment()

    assert succeed("--input-type", "uri_file", input=f"{url}/one.txt").rows == b"over http\n"


def test_a_folder_of_a_web_server_that_lists_it_is_scored(project, succeed, website) -> None:
    url, folder = website
    (folder / "in").mkdir()
    for n in range(5):
        (folder / "in" / f"{n}.txt").write_text(f"page {n}")
    project.script(READ)
    project.deployment()

    assert succeed(input=f"{url}/in/").rows.decode().splitlines() == [f"page {n}" for n in range(5)]


def test_a_remote_input_that_is_not_there_is_refused(project, s3) -> None:
    environment, _ = s3
    project.script(READ)
    project.deployment()

    ran = project.run(input="s3://box/nothing/here", env=environment)

    assert ran.returncode == 2
    assert "s3://box/nothing/here" in ran.stderr


def test_items_are_fetched_while_those_before_them_are_scored(project, succeed, website) -> None:
    url, folder = website
    (folder / "in").mkdir()
    for n in range(12):
        (folder / "in" / f"{n:02d}.txt").touch()
    project.script("""
        import time

        def init():
            pass

        def run(mini_batch):
            time.sleep(0.1)
            return [time.time()]
    """)
    project.deployment(mini_batch_size=1)

    ended = [float(line) for line in succeed(input=f"{url}/in/").rows.splitlines()]

    asked = [ASKED[f"/in/{n:02d}.txt"] for n in range(12)]
    assert [n for n in range(11) if asked[n + 1] >= ended[n]] == []


def test_a_workspace_on_an_object_store_keeps_code_there_and_nodes_fetch_it_once(s3, redis_server, tmp_path) -> None:
    environment, client = s3
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "own.py").write_text("def named(path):\n    return 'object ' + open(path).read()\n")
    script = "import own\n\ndef init():\n    pass\n\ndef run(batch):\n    return [own.named(path) for path in batch]\n"
    (tmp_path / "code" / "score.py").write_text(script)
    for n in range(4):
        client.put_object(Bucket="box", Key=f"few/{n}.txt", Body=str(n).encode())
    packed = io.BytesIO()
    tree = Tree.of(tmp_path / "code")
    tree.write(packed)
    code = {"code": f"upload:{tree.digest}", "scoring_script": "score.py"}

    def ask(serving: Serving, method: str, path: str, **options: Any) -> Any:
        answer = serving.request(method, path, **options)
        assert answer.is_success, answer.text
        return answer.json()

    # On a database of its own: other tests of this process empty theirs.
    url, workspace = redis_server.replace("db=0", "db=6"), ["--workspace", "s3://box/workspace"]
    with Serving(url, tmp_path, nodes=1, arguments=workspace, environment=environment) as serving:
        put = functools.partial(ask, serving, "PUT")
        put(f"/uploads/{tree.digest}", content=packed.getvalue(), headers={"content-type": "application/x-tar"})
        put("/batchEndpoints/eee", json={})
        put("/batchEndpoints/eee/deployments/ddd", json={"type": "model", "code_configuration": code})
        job = ask(serving, "POST", "/batchEndpoints/eee/jobs", json={"input": "s3://box/few"})
        ended = serving.until(f"/jobs/{job['name']}", lambda now: now["ended"])
        rows = serving.request("GET", f"/jobs/{job['name']}/files/score/predictions.csv").text

    assert ended["status"] == "Completed", ended["error"]
    assert rows.splitlines() == [f"object {n}" for n in range(4)]
    (kept,) = (tmp_path / "cache" / "code").glob("*/*/score.py")
    assert kept.read_text() == script


MOODY = """
    import os

    def init():
        pass

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        if "00007.txt" in names and not os.path.exists({mended!r}):
            raise ValueError("not yet")
        return names
"""


def rows(client: Any, folder: str) -> list[str]:
    body = client.get_object(Bucket="box", Key=f"{folder}/predictions.csv")["Body"].read()
    lines: list[str] = body.decode().splitlines()
    return lines


def job_command(project: Any, environment: dict[str, str], *words: str) -> tuple[int, str]:
    """Run `gristmill job`; return its exit code and all that it said."""
    done = subprocess.run(
        project.command("job", *words),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


HELD = """
    import os, time

    def init():
        pass

    def run(mini_batch):
        names = [os.path.basename(path) for path in mini_batch]
        while names[0] >= "00010.txt" and os.path.exists({hold!r}):
            time.sleep(0.02)
        return names
"""


def test_what_is_finished_of_a_job_on_an_object_store_is_kept_and_the_rest_follows(project, s3, tmp_path) -> None:
    environment, client = s3
    everything = [f"{n:05d}.txt" for n in range(20)]
    hold = tmp_path / "hold"
    hold.touch()
    project.files(everything)
    project.script(HELD.format(hold=str(hold)))
    project.deployment(mini_batch_size=2)
    where = ["--input", project.input, "--output", "s3://box/half", "--job-name", "half"]
    folder = "s3://box/half/.gristmill/half"
    command = project.command("run", "deployment.yml", *where)
    with subprocess.Popen(
        command, cwd=project.folder, env={**os.environ, **environment}, stderr=subprocess.PIPE
    ) as process:
        deadline = time.monotonic() + 60
        while not client.list_objects_v2(Bucket="box", Prefix="half/.gristmill/half/parts/")["KeyCount"]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        canceled = job_command(project, environment, "cancel", folder, "--keep-partial")
        process.communicate(timeout=60)

    assert canceled[0] == 0, canceled[1]
    assert process.returncode == 130
    kept = rows(client, "half")
    assert kept == everything[: len(kept)]
    assert 0 < len(kept) <= 10
    hold.unlink()
    resumed = job_command(project, environment, "resume", folder)
    assert resumed[0] == 0, resumed[1]
    assert rows(client, "half") == everything


def test_a_job_on_an_object_store_is_verified_and_its_failed_items_are_retried(project, s3, tmp_path) -> None:
    environment, client = s3
    project.files(20)
    project.script(MOODY.format(mended=str(tmp_path / "mended")))
    project.deployment(mini_batch_size=3, isolate_failures=True)

    lines, command = functools.partial(rows, client, "moody"), functools.partial(job_command, project, environment)
    ran = project.run("--job-name", "moody", output="s3://box/moody", env=environment)
    assert ran.returncode == 0, ran.stderr
    folder = "s3://box/moody/.gristmill/moody"
    everything = [f"{n:05d}.txt" for n in range(20)]
    assert lines() == [name for name in everything if name != "00007.txt"]
    assert command("verify", folder)[0] == 0

    (tmp_path / "mended").touch()
    code, said = command("retry-failed", folder)

    assert code == 0, said
    assert lines() == everything
    assert command("verify", folder)[0] == 0
    client.put_object(Bucket="box", Key="moody/predictions.csv", Body="\n".join(everything[1:]).encode())
    code, said = command("verify", folder)
    assert code == 1
    assert "predictions.csv" in said
