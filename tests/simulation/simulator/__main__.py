"""`python -m simulator`: see campaign.py."""

from __future__ import annotations

import sys

from simulator.campaign import main

if __name__ == "__main__":
    sys.exit(main())
