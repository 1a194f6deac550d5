"""A server whose workspace is in an object store, and datastores there that each have credentials of their own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from quick_s3 import one_certificate

from serving import Serving

SCRIPT = """
def init():
    pass

def run(mini_batch):
    return [open(path).read() for path in mini_batch]
"""


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """An S3 server that refuses what a key may not."""

    endpoint: str
    #: Of each bucket, the key that may use it and no other.
    keys: dict[str, dict[str, str]]
    #: As an administrator.
    client: Any


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    """Three buckets, and a user for each."""
    import boto3
    from moto import settings
    from moto.core.authorization import ActionAuthenticatorMixin
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    where = {"endpoint_url": endpoint, "region_name": "us-east-1"}
    first = boto3.client("iam", **where, aws_access_key_id="first", aws_secret_access_key="first")
    keys = {}
    for bucket in ("workspace", "entries", "results", "*"):
        name = bucket.replace("*", "all")
        policy = {
            "Effect": "Allow",
            "Action": "s3:*",
            "Resource": [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"],
        }
        document = json.dumps({"Version": "2012-10-17", "Statement": [policy]})
        first.create_user(UserName=name)
        first.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=document)
        made = first.create_access_key(UserName=name)["AccessKey"]
        keys[bucket] = {"aws_access_key_id": made["AccessKeyId"], "aws_secret_access_key": made["SecretAccessKey"]}
    client = boto3.client("s3", **where, **keys["*"])
    with pytest.MonkeyPatch.context() as patch:
        # From here on it checks.
        patch.setattr(settings, "INITIAL_NO_AUTH_ACTION_COUNT", 0)
        patch.setattr(ActionAuthenticatorMixin, "request_count", 1)
        for bucket in ("workspace", "entries", "results"):
            client.create_bucket(Bucket=bucket)
        yield Guarded(endpoint=endpoint, keys=keys, client=client)
    client.close()
    first.close()
    server.stop()


@pytest.fixture
def serving(guarded: Guarded, redis_url: str, tmp_path: Path) -> Iterator[Serving]:
    """A server and a node that may open the workspace alone, with the secrets of the two datastores."""
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "entries.json").write_text(json.dumps(guarded.keys["entries"]))
    (secrets / "entries.json").chmod(0o600)
    own = guarded.keys["workspace"]
    environment = {
        "AWS_ENDPOINT_URL": guarded.endpoint,
        "AWS_CA_BUNDLE": str(one_certificate(tmp_path)),
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": own["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": own["aws_secret_access_key"],
        "GRISTMILL_SECRETS": str(secrets),
        "RESULTS_KEY": json.dumps(guarded.keys["results"]),
    }
    arguments = ["--workspace", "s3://workspace/of/a server", "--allow-root", tmp_path]
    with Serving(redis_url, tmp_path, arguments=arguments, environment=environment) as serving:
        yield serving


def ask(serving: Serving, method: str, path: str, **options: Any) -> Any:
    answer = serving.request(method, path, **options)
    assert answer.is_success, answer.text
    return answer.json()


def test_a_job_reads_with_one_key_and_writes_with_another(
    guarded: Guarded, serving: Serving, redis_url: str, tmp_path: Path
) -> None:
    for number in range(4):
        guarded.client.put_object(Bucket="entries", Key=f"in/{number}.txt", Body=f"entry {number}".encode())
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(SCRIPT)
    for name, credentials in (("entries", {"file": "entries.json"}), ("results", {"environment": "RESULTS_KEY"})):
        document = {"name": name, "type": "s3", "bucket": name, "credentials": credentials}
        ask(serving, "PUT", f"/datastores/{name}", json=document)
    ask(serving, "PUT", "/datastores/wrong", json={"name": "wrong", "type": "s3", "bucket": "entries"})
    ask(serving, "PUT", "/batchEndpoints/entry", json={"name": "entry"})
    deployment = {
        "name": "deploy",
        "endpoint_name": "entry",
        "code_configuration": {"code": str(tmp_path / "code"), "scoring_script": "score.py"},
        "settings": {"mini_batch_size": 2, "retry_settings": {"max_retries": 1}},
    }
    ask(serving, "PUT", "/batchEndpoints/entry/deployments/deploy?set_default=true", json=deployment)

    def invoke(store: str) -> Any:
        body = {
            "input": {"type": "uri_folder", "path": f"azureml://datastores/{store}/paths/in"},
            "outputs": {"score": {"path": "azureml://datastores/results/paths/out"}},
        }
        return ask(serving, "POST", "/batchEndpoints/entry/jobs", json=body)

    # The machine's own key may not read there, and nothing falls back to another.
    refused = invoke("wrong")
    refusal = "cannot be begun, and is tried again: s3://entries/in: PermissionError: Access Denied"
    serving.until(f"/jobs/{refused['name']}", lambda job: job["detail"] == refusal)
    ask(serving, "POST", f"/jobs/{refused['name']}/cancel", json={})

    # A node that lacks the secret says so where the job waits, and leaves it to another one.
    name = invoke("entries")["name"]
    serving.node("poor", RESULTS_KEY="")
    lacks = (
        "; node poor cannot open the job's folder: credentials $RESULTS_KEY: this machine (poor) has no such variable"
    )
    serving.until(f"/jobs/{name}", lambda job: lacks in job["detail"])
    serving.node("rich")
    done = serving.until(f"/jobs/{name}", lambda job: job["ended"])
    assert done["status"] == "Completed", done
    assert done["outputs"]["score"]["path"] == "s3://results/out/predictions.csv"
    rows = serving.request("GET", f"/jobs/{done['name']}/files/score/predictions.csv").text
    assert rows.splitlines() == [f"entry {number}" for number in range(4)]

    texts = _texts(guarded) + "".join(path.read_text() for path in tmp_path.glob("*.log")) + json.dumps(done)
    for bucket, key in guarded.keys.items():
        assert key["aws_secret_access_key"] not in texts, bucket
    assert "$RESULTS_KEY@results" in texts

    # All that the server keeps is in the store: it comes back with an empty Redis, and the token is good.
    serving.stop()
    redis.Redis.from_url(redis_url).flushdb()
    serving.start()
    assert ask(serving, "GET", f"/jobs/{done['name']}")["status"] == "Completed"
    assert ask(serving, "GET", "/batchEndpoints/entry")["defaults"]["deployment_name"] == "deploy"
    assert not (tmp_path / "workspace" / "documents").exists()


def _texts(guarded: Guarded) -> str:
    """Return all that lies in the workspace and beside the results."""
    found = []
    for bucket in ("workspace", "results"):
        keys = [entry["Key"] for entry in guarded.client.list_objects_v2(Bucket=bucket)["Contents"]]
        found += [guarded.client.get_object(Bucket=bucket, Key=key)["Body"].read().decode("latin-1") for key in keys]
    return "\n".join(found)
