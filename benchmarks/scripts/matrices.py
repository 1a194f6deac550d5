"""W3: 50 ms of matrix products an item, as a heavy network has them."""

from __future__ import annotations

import os
from pathlib import Path

import torch

HEADER = ["file", "value"]

weights: torch.Tensor
rounds: int


def init() -> None:
    global weights, rounds
    torch.set_num_threads(1)
    folder = next(Path(os.environ["AZUREML_MODEL_DIR"]).rglob("matrix.pt")).parent
    weights = torch.load(folder / "matrix.pt")
    rounds = int((folder / "rounds.txt").read_text())


def step(state: torch.Tensor) -> torch.Tensor:
    product: torch.Tensor = state @ weights
    return product.div(product.norm())


def run(mini_batch: list[str]) -> list[tuple[str, float]]:
    rows = []
    with torch.inference_mode():
        for path in mini_batch:
            state = weights * (1 + int(Path(path).read_text()) * 1e-6)
            for _ in range(rounds):
                state = step(state)
            rows.append((os.path.basename(path), round(float(state.sum()), 4)))
    return rows
