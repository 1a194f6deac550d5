"""GETs of S3's objects that are made here: the very ones its client makes, and its client's again where one fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from faulty_proxy import FaultyProxy

from gristmill.errors import NotFound
from gristmill_storage.copier import COPIES, Copier
from gristmill_storage.fetching import fetch
from gristmill_storage.files import open_store
from gristmill_storage.fsspec_store import FsspecStore
from gristmill_storage.patience import Patience
from gristmill_storage.patient_store import patient
from gristmill_storage.signed_gets import Pattern, Secret, SignedGets

ODD = "in/a b+c~(é)'!*?%#&=.png"


def signed(url: str, token: str | None = None, **headers: str) -> Any:
    """Return a request as S3's client signs it."""
    request = AWSRequest(method="GET", url=url, headers={"User-Agent": "x", **headers})
    request.context["signing"] = {"bucket": "box"}
    S3SigV4Auth(Credentials("key", "secret", token), "s3", "eu-north-1").add_auth(request)
    return request.prepare()


@pytest.mark.parametrize("token", [None, "token"])
@pytest.mark.parametrize("before", ["https://box.s3.eu-north-1.amazonaws.com/", "http://127.0.0.1:9000/base/box/"])
def test_a_request_is_signed_as_the_client_signs_it(before: str, token: str | None) -> None:
    secret = Secret(access="key", secret="secret", token=token)
    headers = {"x-amz-checksum-mode": "ENABLED", "x-amz-request-payer": "requester"}
    pattern = Pattern.of(signed(f"{before}in/first%20one", token, **headers), "in/first one", secret)
    other = signed(f"{before}in/%C3%A9~%2B.png", token, **headers)

    assert pattern is not None
    url, sent = pattern.sent("in/é~+.png", secret, other.headers["X-Amz-Date"])
    assert url == other.url
    assert sent == dict(other.headers.items())


@pytest.mark.parametrize(
    "request_",
    [
        signed("https://h/box/other"),
        signed("https://h/box/key?versionId=1"),
        signed("https://h/box/key", Range="bytes=0-9"),
        AWSRequest(method="GET", url="https://h/box/key", headers={"Authorization": "AWS key:x"}).prepare(),
        AWSRequest(method="PUT", url="https://h/box/key").prepare(),
    ],
)
def test_what_is_not_understood_is_left_to_the_client(request_: Any) -> None:
    assert Pattern.of(request_, "key", Secret(access="key", secret="secret", token=None)) is None


def test_who_signs_with_another_secret_is_not_imitated() -> None:
    request = signed("https://h/box/key")

    assert Pattern.of(request, "key", Secret(access="key", secret="other", token=None)) is None
    assert Pattern.of(request, "key", None) is None


def test_requests_without_a_name_need_no_secret() -> None:
    request = AWSRequest(method="GET", url="https://h/box/key", headers={"User-Agent": "x"}).prepare()
    pattern = Pattern.of(request, "key", None)

    assert pattern is not None
    assert pattern.sent("other", None, "") == ("https://h/box/other", {"User-Agent": "x"})


class Far:
    """A store behind a proxy, and what copies its objects here."""

    def __init__(self, proxy: FaultyProxy, store: FsspecStore, folder: Path) -> None:
        self.proxy, self.folder = proxy, folder
        self.gets = store._gets = SignedGets(store.fs)
        waiting = patient(store, Patience(30))
        self.copier = Copier(waiting, folder, lambda name: fetch(waiting, name, folder))

    def copy(self, *names: str) -> list[bytes]:
        """Copy objects; return what came."""
        copies = [self.copier.copy(name) for name in names]
        self.copier.begin()
        return [copy.result(60).read_bytes() for copy in copies]

    @property
    def imitates(self) -> bool:
        """Whether requests are made here, and not by the client."""
        return self.gets._pattern is not None


@pytest.fixture(scope="module")
def behind(s3_endpoint: str) -> Iterator[tuple[FaultyProxy, FsspecStore]]:
    """A store with some objects, by way of a proxy."""
    import s3fs

    with FaultyProxy(s3_endpoint) as proxy, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", proxy.url)
        patch.setattr(s3fs.S3FileSystem, "_cache", {})
        s3fs.S3FileSystem().mkdir("signed")
        store = open_store("s3://signed/some/folder")
        assert isinstance(store, FsspecStore)
        for name in ("a", ODD, "0", "1", "2", "3"):
            store.create(name, name.encode())
        yield proxy, store


@pytest.fixture
def far(behind: tuple[FaultyProxy, FsspecStore], tmp_path: Path) -> Iterator[Far]:
    """The store, for somebody who has fetched nothing of it yet."""
    proxy, store = behind
    proxy.log.clear()
    proxy.faults.clear()
    proxy.delay, proxy.most = 0.0, 0
    far = Far(proxy, store, tmp_path / "copies")
    yield far
    far.copier.close()


def test_one_request_an_object_and_no_more_than_64_at_once(far: Far) -> None:
    far.copy("0")
    assert far.imitates
    far.proxy.delay = 0.02
    names = [str(number % 4) for number in range(100)]

    assert far.copy(*names) == [name.encode() for name in names]
    assert sorted(far.proxy.log) == sorted(f"GET /signed/some/folder/{name}" for name in ["0", *names])
    assert 1 < far.proxy.most <= COPIES


def test_one_of_many_that_begin_at_once_is_looked_at(far: Far) -> None:
    far.proxy.delay = 0.02

    assert far.copy(*"0123") == [b"0", b"1", b"2", b"3"]
    assert far.imitates


def test_names_of_any_kind_arrive(far: Far) -> None:
    assert far.copy(ODD) == [ODD.encode()]
    assert far.copy(ODD, "a") == [ODD.encode(), b"a"]
    assert far.imitates
    assert len(far.proxy.log) == 3


def test_what_is_not_there_is_said_as_ever(far: Far) -> None:
    with pytest.raises(NotFound, match="folder/none: no such file"):
        far.copy("none")
    far.copy("0")
    with pytest.raises(NotFound, match="folder/none: no such file"):
        far.copy("none")
    assert far.imitates
    assert [path.name for path in far.folder.iterdir()] == ["0"]


@pytest.mark.parametrize("action", ["cut", "damage", "reset", "busy"])
def test_an_answer_that_is_not_whole_is_asked_for_again(far: Far, action: Any) -> None:
    far.copy("0")
    far.proxy.add("GET .*/a$", action)

    assert far.copy("a") == [b"a"]
    assert len(far.proxy.log) == 3
    assert sorted(path.name for path in far.folder.iterdir()) == ["0", "a"]
    assert far.copy("1") == [b"1"]
    assert far.imitates


def test_a_client_that_has_begun_anew_is_imitated_anew(far: Far) -> None:
    far.copy("0")
    far.gets._client = None

    assert far.copy("1") == [b"1"]
    assert not far.imitates
    assert far.copy("2") == [b"2"]
    assert far.imitates
    assert len(far.proxy.log) == 3


def test_a_client_that_is_served_where_these_requests_are_refused_makes_them_all(far: Far) -> None:
    far.copy("0")
    far.proxy.add("GET .*/a$", "forbid")

    assert far.copy("a") == [b"a"]
    assert not far.imitates
    assert far.copy("1", "2") == [b"1", b"2"]
