"""Writes `dashboards/` as `boards/` has it: `python deploy/grafana/build.py`. A test compares the two."""

from __future__ import annotations

from pathlib import Path

import boards

if __name__ == "__main__":
    for name, text in boards.texts().items():
        (Path(__file__).parent / "dashboards" / name).write_text(text, encoding="utf-8")
