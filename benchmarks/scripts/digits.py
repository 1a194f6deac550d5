"""W1: images of 28 x 28 pixels through a small torch network."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

HEADER = ["file", "prediction", "probability"]
PIXELS = 28 * 28

network: torch.nn.Module


def make() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Linear(PIXELS, 128), torch.nn.ReLU(), torch.nn.Linear(128, 10))


def init() -> None:
    global network
    torch.set_num_threads(1)
    weights = next(Path(os.environ["AZUREML_MODEL_DIR"]).rglob("digits.pt"))
    network = make()
    network.load_state_dict(torch.load(weights))
    network.eval()


def run(mini_batch: list[str]) -> list[tuple[str, int, float]]:
    pixels = np.empty((len(mini_batch), PIXELS), np.float32)
    for row, path in enumerate(mini_batch):
        with Image.open(path) as image:
            pixels[row] = np.asarray(image).reshape(-1)
    with torch.inference_mode():
        scores = torch.softmax(network(torch.from_numpy(pixels) / 255), 1)
        probabilities, classes = scores.max(1)
    names = (os.path.basename(path) for path in mini_batch)
    found = ((int(one), round(float(p), 6)) for one, p in zip(classes.tolist(), probabilities.tolist(), strict=True))
    return [(name, *each) for name, each in zip(names, found, strict=True)]
