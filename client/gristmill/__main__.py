"""`python -m gristmill`."""

from __future__ import annotations

from gristmill.cli.main import main

raise SystemExit(main())
