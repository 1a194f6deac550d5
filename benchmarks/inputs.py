"""Makes what is scored, once: the same bytes on every machine, but for how long W3's items take."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import torch
from benchmarks.scripts import digits, matrices
from PIL import Image

SIDE: Final = 28
FEATURES: Final = [f"f{number:02d}" for number in range(14)]
#: Seconds that an item of W3 takes on a free core.
HEAVY_SECONDS: Final = 0.05


def make(folder: Path, name: str) -> Path:
    """Return a folder of input or of a model, made if it is not there; one that was begun is begun anew."""
    target = folder / name
    if not target.exists():
        sys.stderr.write(f"making {target}\n")
        unfinished = folder / f"{name}.part"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        _MAKERS[name](unfinished)
        unfinished.rename(target)
    return target


def _null(folder: Path, count: int = 100_000) -> None:
    for number in range(count):
        (folder / f"i{number:06d}").touch()


def _digits(folder: Path, count: int = 20_000) -> None:
    """Draw strokes on a black ground."""
    y, x = np.mgrid[0:SIDE, 0:SIDE]
    for number in range(count):
        random = np.random.default_rng(number)
        drawn = np.zeros((SIDE, SIDE))
        for _ in range(4):
            x0, y0, x1, y1 = random.uniform(5, SIDE - 5, 4)
            length = (x1 - x0) ** 2 + (y1 - y0) ** 2 + 1e-6
            along = np.clip(((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length, 0, 1)
            distance = np.hypot(x - x0 - along * (x1 - x0), y - y0 - along * (y1 - y0))
            drawn = np.maximum(drawn, np.clip(2.2 - distance, 0, 1))
        Image.fromarray((drawn * 255).astype(np.uint8), "L").save(folder / f"{number:05d}.png")


def _digits_model(folder: Path) -> None:
    torch.manual_seed(0)
    torch.save(digits.make().state_dict(), folder / "digits.pt")


def _table(seed: int, rows: int) -> pd.DataFrame:
    values = np.random.default_rng(seed).normal(size=(rows, len(FEATURES)))
    return pd.DataFrame(values.round(5), columns=FEATURES)


def _tables(folder: Path) -> None:
    for number in range(200):
        _table(1000 + number, 5000).to_csv(folder / f"t{number:03d}.csv", index=False)


def _tables_model(folder: Path) -> None:
    # Only the benchmarks need these, and importing them takes longer than many a run.
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.ensemble import HistGradientBoostingClassifier  # type: ignore[import-untyped]

    known = _table(7, 20_000)
    sums = known.f00 * known.f01 + known.f02 - 0.5 * known.f03**2 + 0.3 * known.f04
    labels = (sums > 0).astype(int)
    model = HistGradientBoostingClassifier(max_iter=100, random_state=0).fit(known, labels)
    signature = infer_signature(known, model.predict(known))
    with _quiet():
        mlflow.sklearn.save_model(model, folder / "model", signature=signature, serialization_format="cloudpickle")
    (folder / "model").rename(folder / "tables")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _matrices(folder: Path) -> None:
    for number in range(400):
        (folder / f"h{number:03d}.txt").write_text(str(number))


def _matrices_model(folder: Path) -> None:
    generator = torch.Generator().manual_seed(3)
    weights = torch.randn(512, 512, generator=generator) / 512**0.5
    torch.save(weights, folder / "matrix.pt")
    (folder / "rounds.txt").write_text(str(_rounds(weights)))


def _rounds(weights: torch.Tensor) -> int:
    """Return how many products take as long as an item should, here; by processor time, for the machine may be busy."""
    torch.set_num_threads(1)
    matrices.weights = weights
    taken = []
    with torch.inference_mode():
        for _ in range(60):
            state, began = weights, time.thread_time()
            for _ in range(5):
                state = matrices.step(state)
            taken.append((time.thread_time() - began) / 5)
    return max(1, round(HEAVY_SECONDS / statistics.median(taken)))


def _first(name: str, count: int) -> Callable[[Path], None]:
    """Return what makes a folder of the first files of another."""

    def link(folder: Path) -> None:
        source = make(folder.parent, name)
        for file in sorted(os.listdir(source))[:count]:
            os.link(source / file, folder / file)

    return link


_MAKERS: Final[dict[str, Callable[[Path], Any]]] = {
    "null": _null,
    "null-two": lambda folder: _null(folder, 20),
    "null-1000": lambda folder: _null(folder, 1000),
    "null-1000000": lambda folder: _null(folder, 1_000_000),
    "digits": _digits,
    "digits-two": _first("digits", 20),
    "digits-model": _digits_model,
    "tables": _tables,
    "tables-model": _tables_model,
    "matrices": _matrices,
    "matrices-50-ms": _matrices_model,
}
