"""Web addresses that requests name, at real servers: where they lead is judged at each connection."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from certified import self_signed
from gristmill.errors import Mistake, NotFound, StorageFailed
from gristmill.spec import Input, InputType
from gristmill_storage import drivers, web
from gristmill_storage.files import open_store
from gristmill_storage.listing import check_input
from gristmill_storage.patience import Patience
from gristmill_storage.patient_store import patient
from gristmill_storage.reach import Reach

#: What is served: a status, headers, a body.
PAGES: dict[str, tuple[int, dict[str, str], bytes]] = {
    "/in/": (200, {"Content-Type": "text/html"}, b'<a href="a.txt">a</a> <a href="away.txt">b</a>'),
    "/in/a.txt": (200, {}, b"content"),
    "/closed/": (403, {}, b""),
    "/asks/": (401, {}, b""),
    "/gone/": (410, {}, b""),
    "/broken/": (500, {}, b""),
}


class Site:
    """A web server at an address of this machine."""

    def __init__(self, address: str, *, context: ssl.SSLContext | None = None) -> None:
        #: The paths that were asked for.
        self.asked: list[str] = []
        #: Where paths are sent on to.
        self.away: dict[str, str] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                site.asked.append(self.path)
                to = site.away.get(self.path)
                status, headers, body = (302, {"Location": to}, b"") if to else PAGES.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                if self.command == "GET":
                    self.wfile.write(body)

            do_HEAD = do_GET  # noqa: N815 - the server's own name

        class Server(ThreadingHTTPServer):
            address_family = socket.AF_INET6 if ":" in address else socket.AF_INET

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Server((address, 0), Handler)
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_port
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Site]]:
    sites: list[Site] = []

    def made(address: str = "127.0.0.1", **options: Any) -> Site:
        sites.append(Site(address, **options))
        return sites[-1]

    yield made
    for site in sites:
        site.close()


#: One address of loopback is allowed, and another is not.
SECOND = Reach.read(["127.0.0.2"])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0x7f.1", "[::ffff:127.0.0.1]"])
def test_this_machine_is_not_reached_whatever_it_is_called(serve, host: str) -> None:
    site = serve()
    store = open_store(f"http://{host}:{site.port}/in", reach=Reach())

    for act in (lambda: store.read("a.txt"), lambda: list(store.list()), lambda: store.size("a.txt")):
        with pytest.raises(Mistake, match=r"leads to a loopback address.*--allow-host"):
            act()
    assert site.asked == []


def test_a_store_without_bounds_reaches_it(serve, tmp_path: Path) -> None:
    store = open_store(f"http://127.0.0.1:{serve().port}/in")

    assert [entry.path for entry in store.list()] == ["a.txt", "away.txt"]
    assert store.read("a.txt") == b"content"


@pytest.mark.parametrize("allowed", ["127.0.0.0/30", "localhost"])
def test_what_is_allowed_is_reached(serve, allowed: str) -> None:
    store = open_store(f"http://localhost:{serve().port}/in", reach=Reach.read([allowed]))

    assert store.read("a.txt") == b"content"


def test_nothing_is_sent_on_to_where_the_address_itself_may_not_lead(serve, tmp_path: Path) -> None:
    inside, outside = serve("127.0.0.1"), serve("127.0.0.2")
    outside.away = {
        "/in/away.txt": f"http://127.0.0.1:{inside.port}/in/a.txt",
        "/away/": f"http://localhost:{inside.port}/in/",
    }
    store = open_store(f"http://127.0.0.2:{outside.port}/in", reach=SECOND)

    assert store.read("a.txt") == b"content"
    acts: list[Callable[[], object]] = [
        lambda: store.read("away.txt"),
        lambda: store.download("away.txt", tmp_path / "copy"),
        lambda: store.size("away.txt"),
        lambda: store.open("away.txt").read(),
        lambda: list(open_store(f"http://127.0.0.2:{outside.port}/away", reach=SECOND).list()),
    ]
    for act in acts:
        with pytest.raises(Mistake, match="leads to a loopback address"):
            act()
    assert inside.asked == []


def test_a_name_that_leads_elsewhere_the_next_time_leads_no_further(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    inside, outside = serve("127.0.0.1"), serve("127.0.0.2")

    class Turning(web.DefaultResolver):  # type: ignore[misc, valid-type]
        """A name server of somebody's, who sends whoever asks again somewhere else."""

        leads = "127.0.0.2"

        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
            return await super().resolve(self.leads, port, family)

    monkeypatch.setattr(web, "DefaultResolver", Turning)
    web.opener.cache_clear()
    reach = Reach.read(["127.0.0.2", "127.0.0.9"])
    store = open_store(f"http://moody.example:{outside.port}/in", reach=reach)
    assert store.read("a.txt") == b"content"

    Turning.leads = "127.0.0.1"
    other = open_store(f"http://moody.example:{inside.port}/in", reach=reach)
    with pytest.raises(Mistake, match="leads to a loopback address"):
        other.read("a.txt")
    assert inside.asked == []
    web.opener.cache_clear()


def test_a_certificate_of_nobody_known_is_refused_at_once_with_the_fix(serve, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(tmp_path))
    site = serve(context=context)
    store = patient(open_store(f"https://127.0.0.1:{site.port}/in"), Patience(60))
    begun = time.monotonic()

    for act in (lambda: store.read("a.txt"), lambda: list(store.list()), lambda: store.size("a.txt")):
        with pytest.raises(Mistake, match=r"certificate is not trusted \(self.signed certificate\).*SSL_CERT_FILE"):
            act()
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize(
    ("folder", "words"), [("closed", "answers 403 Forbidden"), ("asks", "answers 401 Unauthorized")]
)
def test_a_web_server_that_refuses_is_named_with_the_fix_and_without_secrets(serve, folder: str, words: str) -> None:
    store = open_store(f"http://127.0.0.1:{serve().port}/{folder}?token=s3cret")
    PAGES[f"/{folder}/?token=s3cret"] = PAGES[f"/{folder}/x?token=s3cret"] = PAGES[f"/{folder}/"]

    for act in (lambda: list(store.list()), lambda: store.read("x"), lambda: store.size("x")):
        with pytest.raises(Mistake, match=words) as caught:
            act()
        assert "s3cret" not in str(caught.value)
        assert "ClientResponseError" not in str(caught.value)


def test_an_input_on_the_web_that_cannot_be_had_is_named_with_its_field_and_the_fix(serve) -> None:
    url = f"http://127.0.0.1:{serve().port}"
    PAGES["/page/"] = (200, {"Content-Type": "text/html"}, b"<p>This is no list of files.</p>")
    PAGES["/closed/x?sig=s3cret"] = PAGES["/closed/"]
    no_list = "does not exist, is empty, or its server lists no folders"
    refused = "the web server answers 403 Forbidden; give a public or a signed address"
    for given, words in (
        (Input(uri=f"{url}/closed/?sig=s3cret"), f"input: {url}/closed: {refused}"),
        (Input(uri=f"{url}/closed/x?sig=s3cret", type=InputType.URI_FILE), f"input: {url}/closed/x: {refused}"),
        (Input(uri=f"{url}/asks/"), f"input: {url}/asks: the web server answers 401 Unauthorized"),
        (Input(uri=f"{url}/page/"), f"input: {url}/page {no_list}"),
        (Input(uri=f"{url}/nowhere/"), f"input: {url}/nowhere {no_list}"),
    ):
        with pytest.raises(Mistake) as caught:
            check_input(given, recursive=True)
        assert caught.value.message.startswith(words)


@pytest.mark.parametrize("url", ["s3://box/x", "abfs://box/x", "gs://box/x"])
def test_stores_with_such_a_certificate_are_refused_at_once(
    serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*self_signed(tmp_path))
    endpoint = f"https://127.0.0.1:{serve(context=context).port}"
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AZURE_STORAGE_CONNECTION_STRING": f"AccountName=box;AccountKey=YWFh;BlobEndpoint={endpoint}/box;",
        "STORAGE_EMULATOR_HOST": endpoint,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_CA_BUNDLE", raising=False)
    # Clients that this process has lead elsewhere.
    monkeypatch.setattr(drivers.driver_of(url.partition(":")[0]), "_cache", {})
    store = patient(open_store(url), Patience(60))
    begun = time.monotonic()

    variable = "AWS_CA_BUNDLE" if url.startswith("s3") else "SSL_CERT_FILE"
    with pytest.raises(Mistake, match=rf"certificate is not trusted \(self.signed certificate\).* {variable} "):
        store.read("a.txt")
    assert time.monotonic() - begun < 30


def test_what_is_gone_is_not_found_and_what_is_broken_may_pass(serve) -> None:
    site = serve()
    gone, broken = (open_store(f"http://127.0.0.1:{site.port}/{folder}") for folder in ("gone", "broken"))
    PAGES["/gone/x"], PAGES["/broken/x"] = PAGES["/gone/"], PAGES["/broken/"]

    for act in (lambda: gone.read("x"), lambda: gone.size("x")):
        with pytest.raises(NotFound):
            act()
    for act in (lambda: broken.read("x"), lambda: broken.size("x")):
        with pytest.raises(StorageFailed, match="500") as caught:
            act()
        assert not isinstance(caught.value, NotFound)


def test_a_web_server_that_is_away_is_not_taken_for_one_without_the_file(serve) -> None:
    site = serve()
    site.close()
    store = open_store(f"http://127.0.0.1:{site.port}/in")

    with pytest.raises(StorageFailed, match="Cannot connect") as caught:
        store.size("a.txt")
    assert not isinstance(caught.value, NotFound)
