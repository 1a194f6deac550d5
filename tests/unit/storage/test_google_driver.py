"""What Google's store is asked for: uploads in pieces bear the condition that lets one of several writers win.

The server that tests have refuses a second small object, and passes conditions of uploads in pieces over; so it is
shown that they are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from faulty_proxy import FaultyProxy

from gristmill_storage import fsspec_writer
from gristmill_storage.files import Store, open_store
from object_stores import ObjectStore

#: The least that Google takes for a piece of an upload.
PIECE = 256 << 10

CONDITION = "ifGenerationMatch=0"


@pytest.fixture
def recorded(
    others: Callable[[str], ObjectStore], monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Store, FaultyProxy]]:
    """A store, and the proxy that knows what it is asked for."""
    from gristmill_storage.google_driver import GoogleDriver

    server = others("gs")
    with FaultyProxy(server.endpoint) as proxy:
        for name, value in server.at(proxy.url).items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(GoogleDriver, "_cache", {})
        monkeypatch.setattr(fsspec_writer, "BUFFER", PIECE)
        yield open_store(f"{server.url}/conditions"), proxy


@pytest.mark.parametrize(("pieces", "kind"), [(0, "uploadType=multipart"), (3, "uploadType=resumable")])
def test_what_must_not_be_there_yet_is_uploaded_on_that_condition(
    recorded: tuple[Store, FaultyProxy], pieces: int, kind: str
) -> None:
    store, proxy = recorded
    for name, overwrite in ((f"new-{pieces}", False), (f"any-{pieces}", True)):
        proxy.log.clear()
        with store.writer(name, overwrite=overwrite) as writer:
            writer.write(b"x" * (pieces * PIECE + 9))
            writer.publish()

        (begun,) = [line for line in proxy.log if kind in line and "upload_id=" not in line]
        assert (CONDITION in begun) is not overwrite
        assert store.size(name) == pieces * PIECE + 9
