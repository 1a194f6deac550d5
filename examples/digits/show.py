"""Show the first predictions, and how many are right; fails when not more than nine in ten are."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path

ENOUGH = 0.9


def read(path, delimiter=","):
    """Return a file's rows, each a list of texts."""
    with path.open(newline="") as file:
        return list(csv.reader(file, delimiter=delimiter))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder
    output = folder / "output"
    truth = dict(read(folder / "labels.csv")[1:])
    # Azure's text form: fields separated by one space, no header.
    predictions = read(output / "predictions.csv", delimiter=" ")

    print("\nfile            digit  probability  truth")
    for name, digit, probability in predictions[:5]:
        print(f"{name:15} {digit:>5}  {probability:>11}  {truth[name]:>5}")
    right = sum(truth[name] == digit for name, digit, _ in predictions)
    accuracy = right / len(truth)
    print(f"\n{right} of {len(truth)} digits are right: accuracy {accuracy:.3f}")
    print(f"Predictions  {output / 'predictions.csv'}")
    print(f"Summary      {output / 'summary.json'}")
    if len(predictions) != len(truth):
        return f"{len(predictions)} predictions for {len(truth)} images"
    return None if accuracy > ENOUGH else f"accuracy is not above {ENOUGH}"


if __name__ == "__main__":
    sys.exit(main())
