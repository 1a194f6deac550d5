"""Asks azure-ai-ml about every file of the corpus: `make judge` compares, `make judge ARGS=--write` writes the answers.

The answers stand in verdicts.json; `tests/unit/client/documents/test_judge.py` holds ours against them.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from judge.azure import verdict
from judge.corpus import cases, surround

VERDICTS = Path(__file__).parent / "verdicts.json"


def main() -> int:
    """Ask, and compare with what is written down or write it down."""
    parser = argparse.ArgumentParser(prog="judge")
    parser.add_argument("--write", action="store_true", help="write verdicts.json anew")
    options = parser.parse_args()
    found = _asked()
    if options.write:
        VERDICTS.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    known = json.loads(VERDICTS.read_text(encoding="utf-8"))
    stale = sorted(name for name in found.keys() | known.keys() if found.get(name) != known.get(name))
    for name in stale:
        sys.stderr.write(f"{name}: azure-ai-ml says {found.get(name)!r}, verdicts.json {known.get(name)!r}\n")
    accepted = sum(each == "accepted" for each in found.values())
    refused = len(found) - accepted
    sys.stdout.write(f"{len(found)} files: {accepted} accepted, {refused} refused, {len(stale)} not as written down\n")
    return 1 if stale else 0


def _asked() -> dict[str, str]:
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        surround(Path(folder))
        path = Path(folder) / "file.yml"
        for case in cases():
            path.write_text(case.text, encoding="utf-8")
            found[case.name] = verdict(case.kind, path)
    return found


if __name__ == "__main__":
    sys.exit(main())
