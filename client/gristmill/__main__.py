"""`python -m gristmill`."""

from __future__ import annotations

from gristmill.cli.door import main

raise SystemExit(main())
