"""What tests of storage share: a real S3 server on loopback, and stores of each kind."""

from __future__ import annotations

import os
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from quick_s3 import one_certificate, share_models

from gristmill_storage.files import Store, open_store
from object_stores import ObjectStore, object_store


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An S3 server of this test process; the environment leads every S3 client to it."""
    import s3fs
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server
    from whole_s3 import one_at_a_time

    application = one_at_a_time(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, application, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    with pytest.MonkeyPatch.context() as patch:
        share_models(patch)
        patch.setenv("AWS_CA_BUNDLE", str(one_certificate(tmp_path_factory.mktemp("authorities"))))
        patch.setenv("AWS_ENDPOINT_URL", endpoint)
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        s3fs.S3FileSystem.clear_instance_cache()
        yield endpoint
        s3fs.S3FileSystem.clear_instance_cache()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def s3_url(s3_endpoint: str) -> str:
    """A folder in a bucket of its own."""
    import s3fs

    bucket = f"test-{uuid.uuid4().hex}"
    s3fs.S3FileSystem().mkdir(bucket)
    return f"s3://{bucket}/some/folder"


#: What takes long, and says little more than the rest.
LONG = pytest.mark.skipif("LONG_TESTS" not in os.environ, reason="takes long: make test-long")


@pytest.fixture(scope="session")
def others(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], ObjectStore]]:
    """Azure's and Google's stores, each run from when it is first asked for; the environment leads to them."""
    running: dict[str, ObjectStore] = {}
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:

        def run(kind: str) -> ObjectStore:
            if kind not in running:
                running[kind] = stack.enter_context(object_store(kind, tmp_path_factory.mktemp(kind)))
                for name, value in running[kind].environment.items():
                    patch.setenv(name, value)
            return running[kind]

        yield run


@pytest.fixture(params=["local", "memory", "s3", pytest.param("abfs", marks=LONG), pytest.param("gs", marks=LONG)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store, of each kind in turn."""
    if request.param == "local":
        return open_store(str(tmp_path / "store"))
    if request.param == "memory":
        return open_store(f"memory://{uuid.uuid4().hex}/root")
    if request.param != "s3":
        return open_store(f"{request.getfixturevalue('others')(request.param).url}/{uuid.uuid4().hex}/folder")
    return open_store(request.getfixturevalue("s3_url"))
