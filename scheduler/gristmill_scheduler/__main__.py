"""`python -m gristmill_scheduler`."""

from __future__ import annotations

import sys

from gristmill.local.owner import end_with_owner

if "--owned" in sys.argv:
    end_with_owner()

from gristmill_scheduler.door import main

raise SystemExit(main())
