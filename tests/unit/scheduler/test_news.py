from __future__ import annotations

from typing import Any

from gristmill_scheduler.news import News


def test_what_is_waited_for_is_told_before_there_is_a_status_and_once() -> None:
    told: list[dict[str, Any]] = []
    news = News("job-1", lambda event, document: told.append({"event": event, **document}))

    for text in ("waiting for a server", "waiting for a server", ""):
        news.waiting(text)

    assert [(each["event"], each["status"], each["detail"]) for each in told] == [
        ("status", "NotStarted", "waiting for a server"),
        ("status", "NotStarted", ""),
    ]
