"""Stands in for the server: answers what `gristmill up` asks, or does as FAKE_SERVICE says; ends with its owner."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

notes = Path(os.environ["FAKE_NOTES"])
(notes / "service.pid").write_text(str(os.getpid()))
(notes / "service.argv").write_text("\n".join(sys.argv[1:]))
(notes / "service.environment").write_text(json.dumps(dict(os.environ)))
mode = os.environ.get("FAKE_SERVICE", "")
if mode == "dies":
    sys.exit("service: the workspace is damaged")
token = Path(sys.argv[sys.argv.index("--token-file") + 1])
token.write_text("gm_secret\n")


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        allowed = self.path == "/health" or self.headers["Authorization"] == "Bearer gm_secret"
        node = notes / "node.pid"
        nodes = [{"pid": int(node.read_text())}] if node.exists() else []
        body = json.dumps({"nodes": nodes, "jobs": {"Running": 2, "Queued": 1, "Completed": 5}}).encode()
        self.send_response(200 if allowed else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[sys.argv.index("--port") + 1])), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
sys.stdout.write(json.dumps({"event": "listening", "url": f"http://127.0.0.1:{server.server_port}"}) + "\n")
sys.stdout.flush()
sys.stdin.read()
