"""`python -m gristmill_scheduler`."""

from __future__ import annotations

from gristmill_scheduler.door import main

raise SystemExit(main())
