"""Keys that must be there: what Azure says where one is not, and how to give it."""

from __future__ import annotations

from gristmill.deployment import messages
from gristmill.deployment.nodes import beneath
from gristmill.deployment.report import Report
from gristmill.deployment.sections import Given


def require(given: Given, key: str, way_out: str, report: Report) -> None:
    """Note that a key is not given."""
    if not given.has(key):
        node = given.node
        report.place(
            f"{messages.MISSING} {way_out}", field=beneath(node.field, key), line=node.line, origin=node.origin
        )
