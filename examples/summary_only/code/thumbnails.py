"""The scoring script writes files of its own: a thumbnail of each picture."""

from __future__ import annotations

import json
import os
from pathlib import Path

from PIL import Image


def init():
    global size, target
    size = tuple(json.loads((Path(os.environ["AZUREML_MODEL_DIR"]) / "size.json").read_text()))
    target = Path(os.environ["AZUREML_BI_OUTPUT_PATH"])


def run(mini_batch):
    for path in mini_batch:
        with Image.open(path) as image:
            image.thumbnail(size)
            image.save(target / Path(path).name)
    return mini_batch
