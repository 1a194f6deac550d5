"""Stands in for the embedded server: a process that dies with its parent, or as FAKE_SERVER says."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

ctypes.CDLL(None).prctl(1, signal.SIGKILL)
notes = Path(os.environ["FAKE_NOTES"])
(notes / "server.argv").write_text("\n".join(sys.argv[1:]))
folder = Path(sys.argv[sys.argv.index("--folder") + 1])
spoiled = folder / "appendonlydir"
if os.environ.get("FAKE_SERVER") == "dies of its file" and not list(folder.glob("appendonlydir.unreadable*")):
    spoiled.mkdir(parents=True)
    sys.exit("server: bad file format")
folder.mkdir(parents=True, exist_ok=True)
(notes / "server.pid").write_text(str(os.getpid()))
(folder / "appendonly.aof").write_text("memory")
if os.environ.get("FAKE_SERVER") == "dies":
    sys.exit("server: no room")
time.sleep(120)
