"""The scoring script writes files of its own: a thumbnail of each picture."""

from __future__ import annotations

import json
import os
from pathlib import Path

from PIL import Image


def init():
    global size
    size = tuple(json.loads((Path(os.environ["AZUREML_MODEL_DIR"]) / "size.json").read_text()))


def run(mini_batch):
    # Read at each call: what an attempt writes is kept only if that attempt counts.
    target = Path(os.environ["AZUREML_BI_OUTPUT_PATH"])
    for path in mini_batch:
        with Image.open(path) as image:
            image.thumbnail(size)
            image.save(target / Path(path).name)
    return mini_batch
