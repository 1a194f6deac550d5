"""Ray Data, as its documentation shows it: two actors that hold the model, batches of paths."""

from __future__ import annotations

from typing import Any

import ray
from driving import Task, output, put, task, text


class Scorer:
    def __init__(self, wanted: Task) -> None:
        self.wanted = wanted

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        return {"text": [text(self.wanted, batch["item"].tolist())]}


if __name__ == "__main__":
    wanted = task()
    # With two cores alone its read tasks never find a place beside two actors.
    ray.init(num_cpus=4, include_dashboard=False, log_to_driver=False)
    ray.data.DataContext.get_current().enable_progress_bars = False
    items = ray.data.from_items(wanted.files())
    scored = items.map_batches(Scorer, fn_constructor_args=(wanted,), concurrency=2, batch_size=wanted.mini_batch)
    with output(wanted) as (_, stream):
        put(stream, (row["text"] for row in scored.iter_rows()))
