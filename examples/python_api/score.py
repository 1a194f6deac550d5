"""The scoring script: a review's mood is the sum of its words' moods."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd


def init():
    global moods
    moods = json.loads((Path(os.environ["AZUREML_MODEL_DIR"]) / "moods.json").read_text())


def run(mini_batch):
    texts = [Path(path).read_text(encoding="utf-8") for path in mini_batch]
    scores = [sum(moods.get(word.strip(".,!").lower(), 0) for word in text.split()) for text in texts]
    return pd.DataFrame({"file_name": [Path(path).name for path in mini_batch], "mood": scores})
