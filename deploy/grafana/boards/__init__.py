"""The dashboards as code: a panel is a line or two, and what Grafana wants around it is added in one place."""

from __future__ import annotations

import json
from typing import Final

from boards.cluster import CLUSTER
from boards.job import JOB
from boards.panels import document
from boards.reliability import RELIABILITY

DASHBOARDS: Final = (JOB, CLUSTER, RELIABILITY)


def texts() -> dict[str, str]:
    """Return the files by their names."""
    return {f"{each.uid}.json": json.dumps(document(each), indent=2) + "\n" for each in DASHBOARDS}
