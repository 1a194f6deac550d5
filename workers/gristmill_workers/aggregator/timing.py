"""Where a job's time went, and in words what held it back.

Wall time is split in order: waiting for a node, making ready, init(), scoring, merging. Of the time of scoring, each
scorer's seconds are split into what it did, and into what it waited for when it had nothing to do; the shares of all
scorers together are those of the wall time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from gristmill_storage.tallies import BESIDE

#: What is said of a job that spent most of its time so.
_WORDS: Final = {
    "waiting": "no node had begun: larger jobs if nodes start with them, more nodes, fewer jobs beside them",
    "preparing": "model and environment were made ready: they are kept, the next job finds them",
    "init": "init() takes long beside what there is to score: larger jobs",
    "fetching": "the store is the limit: fetch from nearer by, or fewer and larger files",
    "run": "add scorers or instances",
    "encoding": "what run() returns takes long to write: return a DataFrame or fewer columns",
    "committing": "the store of the results is the limit: write them nearer by",
    "aggregating": "the merge is the limit: write the output nearer by",
    "idle": "scorers had too little to do: larger mini-batches, or fewer scorers",
    "other": "starting and ending took the longest: larger jobs",
}

_NAMES: Final = {"run": "run()", "init": "init()", "fetching": "fetch"}


def timing(
    seconds: Mapping[str, float | None], tallies: Mapping[str, int], instances: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any] | None:
    """Return seconds of wall time by what they went to, and what held the job back; None where that is not known.

    Args:
        seconds: as in the summary.
        tallies: what the ledger counted of the job.
        instances: what each instance said of itself last, with its number of scorers.

    """
    total, score = seconds.get("total"), seconds.get("score")
    scorers = sum(int(one.get("scorers") or 0) for one in instances.values())
    if not total or not score or not scorers:
        return None
    ready = seconds.get("prepare") or 0.0
    init = min(ready, seconds.get("init") or 0.0)
    split = {"waiting": seconds.get("queue") or 0.0, "preparing": ready - init, "init": init}
    split |= _of_scoring(score, scorers, tallies)
    split["aggregating"] = seconds.get("aggregate") or 0.0
    split["other"] = max(0.0, total - sum(split.values()))
    most = max(split, key=lambda name: split[name])
    share = round(100 * split[most] / (sum(split.values()) or 1.0))
    held_back = f"{_NAMES.get(most, most)} {share} %: {_WORDS[most]}"
    return {"seconds": {name: round(each, 3) for name, each in split.items()}, "held_back": held_back}


def _of_scoring(score: float, scorers: int, tallies: Mapping[str, int]) -> dict[str, float]:
    """Return how the seconds of scoring split up, over all scorers."""
    counted = {
        "fetching": f"{BESIDE}:fetch",
        "run": "run:us",
        "encoding": f"{BESIDE}:encode",
        "committing": f"{BESIDE}:commit",
    }
    spent = {name: tallies.get(tally, 0) / 1e6 / scorers for name, tally in counted.items()}
    # Scorers that joined late, or were replaced, may have done more than the number of those at the end could.
    fit = min(1.0, score / (sum(spent.values()) or 1.0))
    fitted = {name: each * fit for name, each in spent.items()}
    return {**fitted, "idle": max(0.0, score - sum(fitted.values()))}
