"""Cut scikit-learn's two photographs into 48 pictures."""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_sample_images

SIDE = 106


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    photographs = load_sample_images()
    for name, pixels in zip(photographs.filenames, photographs.images, strict=True):
        for number in range(24):
            top, left = SIDE * (number // 6), SIDE * (number % 6)
            tile = Image.fromarray(pixels[top : top + SIDE, left : left + SIDE])
            tile.save(folder / f"{Path(name).stem}-{number:02d}.png")


if __name__ == "__main__":
    main()
