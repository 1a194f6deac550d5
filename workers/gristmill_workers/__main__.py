"""`python -m gristmill_workers`."""

from __future__ import annotations

import sys

from gristmill.local.owner import end_with_owner

if "--owned" in sys.argv:
    end_with_owner()

from gristmill_workers.node import main

raise SystemExit(main())
