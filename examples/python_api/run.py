"""Score a folder of texts from Python, without a YAML file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import gristmill

HERE = Path(__file__).parent
REVIEWS = {
    "ann.txt": "Great bread, crisp and warm!",
    "bob.txt": "Late, stale and bland. Never again.",
    "cleo.txt": "Good cake, fresh cream.",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder
    reviews = folder / "reviews"
    reviews.mkdir(parents=True, exist_ok=True)
    for name, text in REVIEWS.items():
        (reviews / name).write_text(text, encoding="utf-8")

    job = gristmill.run(
        scoring_script=HERE / "score.py",
        model=HERE / "moods.json",
        input=reviews,
        output=folder / "output",
        overwrite=True,
    )
    job.wait()
    print(job.status)
    print(job.output)
    print(job.to_pandas().to_string(index=False))


if __name__ == "__main__":
    sys.exit(main())
