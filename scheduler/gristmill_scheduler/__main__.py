"""`python -m gristmill_scheduler`."""

from __future__ import annotations

import sys

from gristmill.local.owner import end_with_owner

if "--owned" in sys.argv:
    end_with_owner()

from gristmill_storage.ledger.lean import import_redis

import_redis()

from gristmill_scheduler.door import main  # noqa: E402 - it imports redis-py whole

raise SystemExit(main())
