"""The scoring script, as Azure ML batch endpoints run it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import torch
from digit_classifier import DigitClassifier, load_image


def init():
    """Load the model; called once in each process."""
    global classes, model
    folder = Path(os.environ["AZUREML_MODEL_DIR"]) / "model"
    classes = json.loads((folder / "classes.json").read_text())
    model = DigitClassifier()
    model.load_state_dict(torch.load(folder / "weights.pt", weights_only=True))
    model.eval()


def run(mini_batch):
    """Score the files of one mini-batch; called again and again."""
    with torch.no_grad():
        logits = model(torch.stack([load_image(path) for path in mini_batch]))
    probabilities, indices = logits.softmax(dim=1).max(dim=1)
    return pd.DataFrame(
        {
            "file_name": [Path(path).name for path in mini_batch],
            "digit": [classes[index] for index in indices.tolist()],
            "probability": [round(value, 4) for value in probabilities.tolist()],
        }
    )
