"""GETs of S3's objects that are made here: the very ones its client makes, and its client's again where one fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.awsrequest import AWSRequest
from faulty_proxy import FaultyProxy

from gristmill.errors import NotFound
from gristmill_storage.copier import COPIES, Copier
from gristmill_storage.fetching import fetch
from gristmill_storage.files import open_store
from gristmill_storage.fsspec_store import FsspecStore
from gristmill_storage.patience import Patience
from gristmill_storage.patient_store import patient
from gristmill_storage.signed_gets import Pattern, SignedGets, _text

ODD = "in/a b+c~(é)'!*?%#&=.png"


def asked(url: str, method: str = "GET", **headers: str) -> Any:
    """Return a request as S3's client sends it."""
    return AWSRequest(method=method, url=url, headers={"User-Agent": "x", **headers}).prepare()


@pytest.mark.parametrize(
    "request_",
    [
        asked("https://h/box/other"),
        asked("https://h/box/key?versionId=1"),
        asked("https://h/box/key?like=/key"),
        asked("https://h/box/key", Range="bytes=0-9"),
        asked("https://h/box/key", **{"If-Match": '"tag"'}),
        asked("https://h/box/key", "PUT"),
    ],
)
def test_what_is_not_understood_is_left_to_the_client(request_: Any) -> None:
    assert Pattern.of(request_, "key") is None


def test_what_belongs_to_one_request_is_no_other_s() -> None:
    own = {"Authorization": "AWS4-HMAC-SHA256 x", "X-Amz-Date": "1", "X-Amz-Security-Token": "t"}
    pattern = Pattern.of(asked("https://h/box/a/first%20one", **own), "a/first one")

    assert pattern is not None
    request = pattern.request("é~+.png")
    assert request.url == "https://h/box/%C3%A9~%2B.png"
    assert dict(request.headers.items()) == {"User-Agent": "x"}


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


def test_a_request_is_the_client_s_own_but_for_its_time(far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    far.copy("0")
    sent: list[Any] = []
    connections = far.gets._client._endpoint.http_session
    send = connections.send
    monkeypatch.setattr(connections, "send", lambda request: (sent.append(request), send(request))[1])

    for learns in (True, False):  # the driver's, and one like it
        far.gets._pattern, far.gets._learns = (None, True) if learns else (far.gets._pattern, False)
        assert far.copy(ODD) == [ODD.encode()]
    the_client_s, ours = ({name.lower(): _text(value) for name, value in one.headers.items()} for one in sent)
    tries = {"amz-sdk-invocation-id", "amz-sdk-request"}
    assert sent[0].url == sent[1].url
    assert the_client_s.keys() - tries == ours.keys()
    assert ours["authorization"].startswith("AWS4-HMAC-SHA256 Credential=")
    changing = {"authorization", "x-amz-date"}
    assert [the_client_s[name] for name in ours if name not in changing] == [
        ours[name] for name in ours if name not in changing
    ]


def test_who_has_no_name_asks_without_a_signature(behind: tuple[FaultyProxy, FsspecStore], tmp_path: Path) -> None:
    import s3fs
    from fsspec.asyn import sync

    for name in "01":
        behind[1].fs.chmod(f"signed/some/folder/{name}", acl="public-read")
    driver = s3fs.S3FileSystem(anon=True)
    gets, sent = SignedGets(driver), list[Any]()
    for name in "01":
        sync(driver.loop, gets.copy, f"signed/some/folder/{name}", tmp_path / name)
        gets._client.meta.events.register("before-sign.s3.GetObject", lambda request, **_: sent.append(request))

    assert (tmp_path / "1").read_text() == "1"
    assert gets._pattern is not None
    assert len(sent) == 1
    assert not any(name.lower() in ("authorization", "x-amz-date") for name in sent[0].headers)


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
