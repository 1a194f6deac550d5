"""`python -m gristmill_workers`."""

from __future__ import annotations

from gristmill_workers.node import main

raise SystemExit(main())
