"""Stands in for a node: leaves at the end of stdin, or does as FAKE_NODE says; has a child as scorers are."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from gristmill.local.ahead import told

if "--told" in sys.argv:
    sys.argv[1:] = told()
notes = Path(os.environ["FAKE_NOTES"])
(notes / "node.argv").write_text("\n".join(sys.argv[1:]))
(notes / "node.url").write_text(os.environ.get("GRISTMILL_REDIS_URL", ""))
(notes / "node.scratch").write_text(os.environ.get("GRISTMILL_SCRATCH", ""))
mode = os.environ.get("FAKE_NODE", "")
if "--owned" not in sys.argv:
    (notes / "node.pid").write_text(str(os.getpid()))
    sys.exit(0)
scorer = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
(notes / "scorer.pid").write_text(str(scorer.pid))
(notes / "node.pid").write_text(str(os.getpid()))
if mode == "dies":
    sys.exit("node: a library is missing")
sys.stdin.read()
if mode == "stays":
    time.sleep(120)
if mode != "leaves its scorer":
    scorer.kill()
    scorer.wait()
