"""What `gristmill status` shows of nodes."""

from __future__ import annotations

from gristmill.cli.status import page


def test_scorers_that_are_kept_are_shown_with_their_deployment() -> None:
    node = {"host": "left", "compute": "local", "slots": 2, "running": [None, None]}
    kept = {**node, "resting": [{"deployment": "words/mine", "scorers": 2}]}
    document = {"url": "http://h:1", "redis": True, "nodes": [node]}

    assert "Kept for" not in page(document)
    shown = [line.split() for line in page({**document, "nodes": [kept]}).splitlines()]
    first = shown.index(["Kept", "for", "Scorers", "Node"])
    assert shown[first + 2] == ["words/mine", "2", "left"]
