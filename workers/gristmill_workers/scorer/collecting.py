"""Python's search for garbage, while libraries are imported and a model is loaded.

By default it goes through what is new after every few hundred objects, and now and then through all there is: a seventh
of the processor time in which MLflow is imported and a model is loaded. Next to nothing of that is garbage.
"""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import Iterator

#: After how many new objects the youngest are looked through, and after how many such searches the older ones: seldom,
#: and still often enough that what a model's loading leaves behind is found.
SELDOM = (5000, 50, 100)


@contextmanager
def seldom() -> Iterator[None]:
    """Look for garbage seldom within; who sets another measure meanwhile keeps it."""
    before = gc.get_threshold()
    if before[0]:  # 0: nobody looks
        gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        if gc.get_threshold() == SELDOM:
            gc.set_threshold(*before)
