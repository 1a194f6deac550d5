"""Web addresses at real servers: what jobs of a server may read, and what jobs of one's own machine may."""

from __future__ import annotations

import functools
import http.server
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from certified import self_signed
from serving import Serving

SCRIPT = "def init():\n    pass\n\ndef run(batch):\n    return [open(path).read() for path in batch]\n"


class Site:
    """A folder on the web, at an address of this machine."""

    def __init__(self, folder: Path, address: str, *, context: ssl.SSLContext | None = None) -> None:
        self.folder = folder
        folder.mkdir()
        #: Where paths are sent on to.
        self.away: dict[str, str] = {}
        #: The paths that were asked for.
        self.asked: list[str] = []
        site = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def send_head(self) -> Any:
                site.asked.append(self.path)
                if self.path not in site.away:
                    return super().send_head()
                self.send_response(302)
                self.send_header("Location", site.away[self.path])
                self.send_header("Content-Length", "0")
                return self.end_headers()

        self._server = http.server.ThreadingHTTPServer((address, 0), functools.partial(Handler, directory=str(folder)))
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if context else 'http'}://{address}:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    sites: list[Site] = []

    def made(name: str, address: str = "127.0.0.1", **options: Any) -> Site:
        sites.append(Site(tmp_path / name, address, **options))
        return sites[-1]

    yield made
    for each in sites:
        each.close()


def test_a_servers_jobs_do_not_reach_its_own_network(site, redis_server: str, tmp_path: Path) -> None:
    inside, outside = site("inside"), site("outside", "127.0.0.2")
    (inside.folder / "secret.txt").write_text("secret")
    for folder in ("fine", "mixed"):
        (outside.folder / folder).mkdir()
        (outside.folder / folder / "a.txt").write_text("public")
    (outside.folder / "mixed" / "b.txt").touch()
    outside.away = {"/mixed/b.txt": f"{inside.url}/secret.txt", "/away/": f"{inside.url}/"}
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "score.py").write_text(SCRIPT)
    code = {"code": str(tmp_path / "code"), "scoring_script": "score.py"}
    settings = {"mini_batch_size": 1, "error_threshold": -1, "retry_settings": {"max_retries": 1}}
    # The one address of loopback is allowed and stands for the public; the other stands for what is inside.
    arguments = ["--allow-host", "127.0.0.2", "--allow-root", tmp_path]
    # On a database of its own: other tests of this process empty theirs.
    with Serving(redis_server.replace("db=0", "db=4"), tmp_path, nodes=1, arguments=arguments) as serving:

        def ask(path: str, body: Any, *, method: str = "POST") -> Any:
            return serving.request(method, path, json=body)

        def ended(address: str) -> Any:
            answer = ask("/batchEndpoints/eee/jobs", {"input": address})
            assert answer.is_success, answer.text
            return serving.until(f"/jobs/{answer.json()['name']}", lambda now: now["ended"])

        assert ask("/batchEndpoints/eee", {}, method="PUT").is_success
        deployment = {"code_configuration": code, "settings": settings}
        assert ask("/batchEndpoints/eee/deployments/ddd?set_default=true", deployment, method="PUT").is_success

        # By its own words: at once.
        for address in (
            inside.url,
            "http://169.254.169.254/latest/meta-data",
            "http://[fd00:ec2::254]/",
            "http://10.0.0.1/",
        ):
            refused = ask("/batchEndpoints/eee/jobs", {"input": address})
            assert refused.status_code == 403, refused.text
            assert "--allow-host" in refused.json()["detail"]
        stolen = "abfs://box@account.blob.elsewhere.example/in"
        assert "shown this server's credentials" in ask("/batchEndpoints/eee/jobs", {"input": stolen}).text
        model = {**deployment, "model": {"path": f"{inside.url}/secret.txt"}}
        assert ask("/batchEndpoints/eee/deployments/other", model, method="PUT").status_code == 403

        # By where it leads: in the server, which lists, and in the node, which fetches.
        assert ended(f"{outside.url}/fine/")["status"] == "Completed"
        listed = ended(f"{outside.url}/away/")
        assert listed["status"] == "Failed"
        assert "leads to a loopback address" in listed["error"]["message"]
        fetched = ended(f"{outside.url}/mixed/")
        rows = serving.request("GET", f"/jobs/{fetched['name']}/files/score/predictions.csv").text
        errors = serving.request("GET", f"/jobs/{fetched['name']}/files/score/errors.jsonl").text
    assert rows == "public\n"
    assert "leads to a loopback address" in errors
    assert inside.asked == []


def test_a_web_server_with_a_certificate_of_ones_own_authority(project, site, tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path / "certificates")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    web = site("web", context=context)
    (web.folder / "a.txt").write_text("by TLS")
    project.script(SCRIPT)
    project.deployment()

    refused = project.run(input=f"{web.url}/")
    assert refused.returncode == 2, refused.stderr
    assert "certificate is not trusted (self-signed certificate)" in refused.stderr
    assert "SSL_CERT_FILE" in refused.stderr
    ran = project.run(input=f"{web.url}/", env={"SSL_CERT_FILE": str(certificate)})
    assert ran.returncode == 0, ran.stderr
    assert ran.rows == b"by TLS\n"
