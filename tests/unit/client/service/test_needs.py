"""What the client of a server needs beside Python: httpx with what that needs, and PyYAML for the files it reads."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import requires

#: Makes a client where nothing but Python, Gristmill and what it needs can be imported, and works with it.
SCRIPT = """
import http.server, json, sys, threading
from pathlib import Path

KNOWN = {"gristmill", "anyio", "certifi", "h11", "httpcore", "httpx", "idna", "sniffio", "typing_extensions"}
KNOWN |= {"yaml", "_yaml"}

class Only:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in KNOWN and top not in sys.stdlib_module_names:
            raise ModuleNotFoundError(f"No module named {name!r}: it is neither of httpx nor of YAML", name=name)

class Server(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer({"name": "j", "id": "/batchEndpoints/words/jobs/j", "status": "Queued"})

    def do_GET(self):
        self.answer({"value": [{"name": "words"}], "nextLink": None})

    def answer(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

sys.meta_path.insert(0, Only())
import gristmill

server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = gristmill.Client(f"http://127.0.0.1:{server.server_port}", "token")
for group in ("batch_endpoints", "models", "data", "environments", "datastores", "compute"):
    assert [one.name for one in getattr(client, group).list()] == ["words"], group
given = gristmill.Input(type="uri_folder", path="https://example.org/")
job = client.batch_endpoints.invoke("words", input=given, params_override=[{"mini_batch_size": 3}])
print(job.name, job.status, "</" in job._repr_html_())
"""


def test_a_client_works_with_httpx_and_yaml_alone() -> None:
    told = subprocess.run([sys.executable, "-P", "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=60)

    assert (told.stdout, told.stderr) == ("j Queued True\n", "")


def test_the_package_asks_for_httpx_and_what_the_command_line_reads_and_prints_with() -> None:
    plain = {re.split(r"[^A-Za-z0-9_.-]", line)[0] for line in requires("gristmill") or () if "extra ==" not in line}

    assert plain == {"httpx", "jmespath", "pyyaml", "rich"}
