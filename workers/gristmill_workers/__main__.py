"""`python -m gristmill_workers`; with `--told` its arguments come when everything is imported."""

from __future__ import annotations

import sys

from gristmill.local.ahead import told
from gristmill.local.litter import Ignored
from gristmill.local.owner import end_with_owner
from gristmill_workers.allocator import keep_little

keep_little()
if "--owned" in sys.argv:
    end_with_owner()

with Ignored():
    from gristmill_workers.node import main

raise SystemExit(main(told() if "--told" in sys.argv else None))
