from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import gristmill
from answering import CUT, Reply, Server
from gristmill import errors
from gristmill.service import ServiceJob
from gristmill.service.client import Client
from gristmill.service.resource import Resource
from gristmill.settings import ProcessSettings
from gristmill.trees import Tree


def shown(document: dict[str, Any], etag: str = '"1"', status: int = 200) -> Reply:
    context = {"created_at": "2026-01-01T00:00:00Z"}
    return Reply(status, {**document, "creation_context": context}, headers={"etag": etag})


def echo(etag: str) -> Any:
    return lambda request: shown(request.document, etag, 201)


def test_the_client_does_not_show_its_token(client: Client) -> None:
    assert "s3cret" not in repr(client)
    assert repr(client) == f"<gristmill.Client {client.url}>"


def test_without_a_server_the_client_says_how_to_get_one(settings: ProcessSettings) -> None:
    with pytest.raises(errors.Mistake, match="no server: start one with gristmill up"):
        gristmill.Client(settings=settings)


def test_status_and_info(client: Client, server: Server) -> None:
    server.answers["GET /status"] = {"nodes": [{"name": "a"}], "redis": True}

    assert client.status().nodes[0].name == "a"
    assert client.info().api == 1


def test_an_endpoint_is_made_from_a_mapping_or_a_file(client: Client, server: Server, tmp_path: Path) -> None:
    server.answers["PUT /batchEndpoints/digits"] = echo('"1"')
    (tmp_path / "endpoint.yml").write_text("name: digits\ndescription: d\n")

    for source in ({"name": "digits", "description": "d"}, tmp_path / "endpoint.yml", str(tmp_path / "endpoint.yml")):
        poller = client.batch_endpoints.begin_create_or_update(source)
        assert poller.done()
        assert poller.status() == "Succeeded"
        assert poller.result().description == "d"
    assert {"description", "name"} <= server.seen[-1].document.keys()
    assert "if-match" not in server.seen[-1].headers


def test_the_default_is_changed_as_with_mlclient_and_a_lost_update_is_refused(client: Client, server: Server) -> None:
    server.answers["GET /batchEndpoints/digits"] = shown({"name": "digits", "defaults": {"deployment_name": "blue"}})
    server.answers["PUT /batchEndpoints/digits"] = [echo('"2"'), echo('"3"'), Reply(412, None)]
    server.answers["PUT /batchEndpoints/digits"] = _in_turn(server.answers["PUT /batchEndpoints/digits"])
    endpoint = client.batch_endpoints.get("digits")

    endpoint.defaults.deployment_name = "green"
    changed = client.batch_endpoints.begin_create_or_update(endpoint).result()
    assert changed.defaults.deployment_name == "green"
    assert server.seen[-1].headers["if-match"] == '"1"'

    # What it wrote itself is no change by somebody else.
    client.batch_endpoints.begin_create_or_update(endpoint)
    assert server.seen[-1].headers["if-match"] == '"2"'

    with pytest.raises(errors.PreconditionFailed):
        client.batch_endpoints.begin_create_or_update(endpoint)


def _in_turn(answers: list[Any]) -> Any:
    def answer(request: Any) -> Any:
        found = answers.pop(0)
        return found(request) if callable(found) else found

    return answer


def test_lists_are_resources(client: Client, server: Server) -> None:
    server.answers["GET /batchEndpoints"] = {"value": [{"name": "a"}, {"name": "b"}], "nextLink": None}

    assert [endpoint.name for endpoint in client.batch_endpoints.list()] == ["a", "b"]


def test_an_endpoint_is_deleted(client: Client, server: Server) -> None:
    server.answers["DELETE /batchEndpoints/digits"] = Reply(204)

    assert client.batch_endpoints.begin_delete("digits").result() is None
    with pytest.raises(errors.ResourceNotFound):
        client.batch_endpoints.begin_delete("none")


@pytest.fixture
def deployment_file(tmp_path: Path) -> Path:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text("def init(): pass\ndef run(batch): return batch\n")
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "net.pt").write_bytes(b"weights")
    path = tmp_path / "deployment.yml"
    path.write_text(
        "name: blue\nendpoint_name: digits\ntype: model\nmodel: {path: net}\n"
        "code_configuration: {code: code, scoring_script: score.py}\n"
    )
    return path


def test_a_deployments_files_are_sent_and_named_in_it(client: Client, server: Server, deployment_file: Path) -> None:
    code = Tree.of(deployment_file.parent / "code").digest
    sent: list[str] = []

    def take(request: Any) -> Reply:
        sent.append(request.path)
        return Reply(201, {})

    for request in ("GET", "PUT"):
        server.answers[f"{request} /uploads/{code}"] = None if request == "GET" else take
    server.answers["PUT /batchEndpoints/digits/deployments/blue"] = echo('"1"')
    answer = server.answer

    def answer_any(request: Any) -> Reply:
        if request.method == "PUT" and request.path.startswith("/uploads/"):
            return take(request)
        return answer(request)

    server.answer = answer_any  # type: ignore[method-assign]

    client.batch_deployments.begin_create_or_update(deployment_file, set_default=True).result()

    request = server.seen[-1]
    assert request.query == {"set_default": "true"}
    assert request.document["code_configuration"] == {"code": f"upload:{code}", "scoring_script": "score.py"}
    assert request.document["model"]["path"].endswith("/net")
    assert request.document["model"]["path"].startswith("upload:")
    assert len(sent) == 2


def test_a_deployment_that_was_read_is_written_with_the_servers_paths(client: Client, server: Server) -> None:
    where = "/batchEndpoints/digits/deployments/blue"
    document = {"name": "blue", "endpoint_name": "digits", "model": {"path": "/srv/model"}, "tags": {}}
    server.answers[f"GET {where}"] = shown(document, '"7"')
    server.answers[f"PUT {where}"] = echo('"8"')

    deployment = client.batch_deployments.get("blue", "digits")
    deployment.tags.owner = "me"
    client.batch_deployments.begin_create_or_update(deployment)

    assert server.seen[-1].document["model"] == {"path": "/srv/model"}
    assert server.seen[-1].document["tags"] == {"owner": "me"}
    assert server.seen[-1].headers["if-match"] == '"7"'


def test_a_deployment_without_an_endpoint_is_refused(client: Client, deployment_file: Path) -> None:
    deployment_file.write_text(deployment_file.read_text().replace("endpoint_name: digits\n", ""))

    with pytest.raises(errors.Mistake, match="endpoint_name"):
        client.batch_deployments.begin_create_or_update(deployment_file)


def test_deployments_are_listed_and_deleted(client: Client, server: Server) -> None:
    server.answers["GET /batchEndpoints/digits/deployments"] = {"value": [{"name": "blue"}], "nextLink": None}
    server.answers["DELETE /batchEndpoints/digits/deployments/blue"] = Reply(204)

    assert [each.name for each in client.batch_deployments.list("digits")] == ["blue"]
    client.batch_deployments.begin_delete("blue", endpoint_name="digits").wait()


def test_invoke_asks_for_one_job_however_often_it_is_sent(client: Client, server: Server, job_document: Any) -> None:
    server.answers["POST /batchEndpoints/digits/jobs"] = [CUT, Reply(503), Reply(201, job_document())]

    job = client.batch_endpoints.invoke(
        "digits",
        deployment_name="blue",
        input=gristmill.Input(path="azureml:images:1"),
        params_override=[{"mini_batch_size": 5}],
        job_name="j1",
    )

    assert isinstance(job, ServiceJob)
    assert (job.name, job.status) == ("j1", "Running")
    posts = [request for request in server.seen if request.method == "POST"]
    assert len(posts) == 3
    assert len({request.headers["repeatability_request-id"] for request in posts}) == 1
    assert posts[0].headers["azureml-model-deployment"] == "blue"
    assert posts[0].document == {
        "input_data": {"input": {"uri": "azureml:images:1"}},
        "mini_batch_size": 5,
        "name": "j1",
    }


def test_each_invoke_has_an_id_of_its_own(client: Client, server: Server, job_document: Any) -> None:
    server.answers["POST /batchEndpoints/digits/jobs"] = Reply(201, job_document())

    for _ in range(2):
        client.batch_endpoints.invoke("digits", input="azureml:images:1")

    assert len({request.headers["repeatability_request-id"] for request in server.seen}) == 2


def test_input_and_inputs_exclude_each_other(client: Client) -> None:
    with pytest.raises(errors.Mistake, match="input and inputs: give one of them"):
        client.batch_endpoints.invoke("digits", input="azureml:a:1", inputs={"x": "azureml:a:1"})


def test_the_jobs_of_an_endpoint_and_of_a_deployment(client: Client, server: Server, job_document: Any) -> None:
    server.answers["GET /batchEndpoints/digits/jobs"] = {"value": [job_document()], "nextLink": None}

    assert [job.name for job in client.batch_endpoints.list_jobs("digits")] == ["j1"]
    assert [job.name for job in client.batch_deployments.list_jobs("digits", name="blue")] == ["j1"]
    assert server.seen[-1].query == {"deployment": "blue"}


@pytest.mark.parametrize("kind", ["models", "data", "environments"])
def test_assets_have_versions_and_labels(client: Client, server: Server, kind: str) -> None:
    group = getattr(client, kind)
    for where in ("versions/3", "labels/latest", "labels/stable"):
        server.answers[f"GET /{kind}/x/{where}"] = shown({"name": "x", "version": where})
    server.answers[f"GET /{kind}"] = {"value": [{"name": "x"}], "nextLink": None}
    server.answers[f"GET /{kind}/x/versions"] = {"value": [{"version": "2"}, {"version": "1"}], "nextLink": None}
    for action in ("archive", "restore"):
        server.answers[f"POST /{kind}/x/versions/3/{action}"] = {}
        server.answers[f"POST /{kind}/x/{action}"] = {"value": []}
    server.answers[f"DELETE /{kind}/x/versions/3"] = Reply(204)

    assert group.get("x", 3).version == "versions/3"
    assert group.get("x").version == "labels/latest"
    assert group.get("x", label="stable").version == "labels/stable"
    assert [each.name for each in group.list()] == ["x"]
    assert [each.version for each in group.list("x")] == ["2", "1"]
    group.archive("x", "3")
    group.restore("x")
    group.delete("x", 3)
    assert server.asked()[-3:] == [
        f"POST /{kind}/x/versions/3/archive",
        f"POST /{kind}/x/restore",
        f"DELETE /{kind}/x/versions/3",
    ]
    with pytest.raises(errors.Mistake, match="give one of them"):
        group.get("x", 3, "stable")


def test_an_asset_without_a_version_gets_the_next_one(client: Client, server: Server) -> None:
    server.answers["POST /data/images"] = echo('"1"')
    server.answers["PUT /data/images/versions/7"] = echo('"1"')
    document = {"name": "images", "type": "uri_folder", "path": "https://host/images/"}

    client.data.create_or_update(document)
    client.data.create_or_update({**document, "version": "7"})

    assert server.asked() == ["POST /data/images", "PUT /data/images/versions/7"]


@pytest.mark.parametrize(("kind", "path"), [("datastores", "datastores"), ("compute", "computes")])
def test_named_resources(client: Client, server: Server, kind: str, path: str) -> None:
    group = getattr(client, kind)
    server.answers[f"GET /{path}/x"] = shown({"name": "x"})
    server.answers[f"GET /{path}"] = {"value": [{"name": "x"}], "nextLink": None}
    server.answers[f"DELETE /{path}/x"] = Reply(204)

    assert group.get("x").name == "x"
    assert [each.name for each in group.list()] == ["x"]
    assert group.begin_delete("x").done()


def test_tokens(client: Client, server: Server) -> None:
    server.answers["POST /tokens"] = Reply(201, {"id": "1", "token": "once"})
    server.answers["GET /tokens"] = {"value": [{"id": "1"}], "nextLink": None}
    server.answers["DELETE /tokens/1"] = Reply(204)

    assert client.tokens.create("ci", roles=["reader"], expires_in=60).token == "once"
    assert server.seen[-1].document == {"name": "ci", "roles": ["reader"], "endpoints": ["*"], "expires_in": 60}
    assert [token.id for token in client.tokens.list()] == ["1"]
    client.tokens.delete("1")


def test_a_resource_of_the_users_own_is_read_as_a_mapping(client: Client, server: Server) -> None:
    server.answers["PUT /batchEndpoints/digits"] = echo('"4"')
    endpoint = Resource({"name": "Digits"})

    client.batch_endpoints.begin_create_or_update(endpoint)

    assert server.asked() == ["PUT /batchEndpoints/digits"]


def test_an_endpoints_file_with_deployments_in_it_is_refused(client: Client, tmp_path: Path) -> None:
    (tmp_path / "endpoint.yml").write_text(
        "type: batch\nname: digits\ntraffic: {blue: 100}\n"
        "deployments:\n- name: blue\n  model: azureml:m:1\n  compute: azureml:c\n"
    )

    with pytest.raises(errors.Mistake, match="stand in the same file"):
        client.batch_endpoints.begin_create_or_update(tmp_path / "endpoint.yml")


def test_a_version_is_archived_by_its_label(client: Client, server: Server) -> None:
    server.answers["GET /models/x/labels/stable"] = shown({"name": "x", "version": "3"})
    server.answers["POST /models/x/versions/3/archive"] = {}

    client.models.archive("x", label="stable")

    assert server.asked()[-1] == "POST /models/x/versions/3/archive"


def test_every_group_reads_documents_of_its_own_kind(client: Client, server: Server) -> None:
    server.answers["POST /environments/x"] = echo('"1"')
    server.answers["PUT /computes/x"] = echo('"1"')
    server.answers["PUT /datastores/x"] = echo('"1"')
    server.answers["POST /models/x"] = echo('"1"')

    client.environments.create_or_update({"name": "x", "image": "docker.io/x:1"})
    client.models.create_or_update({"name": "x", "path": "https://host/model/"})
    assert client.compute.begin_create_or_update({"name": "x", "max_instances": 2}).result().max_instances == 2
    with pytest.raises(errors.InvalidDocument):
        client.datastores.create_or_update({"name": "x", "type": "nonsense"})
    with pytest.raises(errors.InvalidDocument):
        client.compute.create_or_update({"name": "x", "max_instances": "many"})


def test_what_a_container_is_built_of_is_sent_to_the_server(client: Client, server: Server, tmp_path: Path) -> None:
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "environment.yml").write_text("name: x\nbuild: {path: ./context}\n")
    tree = Tree.of(context).digest
    server.answers[f"PUT /uploads/{tree}"] = {}
    server.answers["POST /environments/x"] = echo('"1"')

    made = client.environments.create_or_update(tmp_path / "environment.yml")

    assert made["build"]["path"] == f"upload:{tree}"
    assert f"PUT /uploads/{tree}" in server.asked()


def test_what_is_no_document_is_an_error(client: Client, server: Server) -> None:
    server.answers["GET /batchEndpoints/x"] = Reply(document=[1])

    with pytest.raises(errors.ServerFailed, match="answered no document"):
        client.batch_endpoints.get("x")
