"""Train the network on three quarters of the digits, and write the others as PNG files to be scored.

Into the folder given go model/ (weights.pt, classes.json), images/ (one PNG file a digit) and labels.csv (the truth).
"""

from __future__ import annotations

import argparse
import csv
import json
import shutil
import sys
from pathlib import Path

import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

sys.path.insert(0, str(Path(__file__).parent / "code"))
from digit_classifier import DigitClassifier

SEED = 7
EPOCHS = 15


def train(pixels, labels):
    """Return the network trained on images of shape (n, 8, 8), values from 0 to 1."""
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    model = DigitClassifier()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    inputs, targets = torch.tensor(pixels, dtype=torch.float32).unsqueeze(1), torch.tensor(labels)
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(inputs)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(inputs[chosen]), targets[chosen]).backward()
            optimizer.step()
    return model


def save_model(model, folder):
    """Write the weights and the classes' names."""
    folder.mkdir(parents=True)
    torch.save(model.state_dict(), folder / "weights.pt")
    (folder / "classes.json").write_text(json.dumps(list(range(10))))


def save_images(images, labels, folder):
    """Write each image as a PNG file whose name says nothing, and the truth beside the folder."""
    (folder / "images").mkdir()
    names = [f"digit-{number:04d}.png" for number in range(len(images))]
    for name, image in zip(names, images, strict=True):
        Image.fromarray((image * 255).round().astype("uint8")).save(folder / "images" / name)
    with (folder / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("file_name", "digit"), *zip(names, labels.tolist(), strict=True)])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    folder = parser.parse_args().folder
    shutil.rmtree(folder, ignore_errors=True)
    digits = load_digits()
    seen, unseen, seen_labels, unseen_labels = train_test_split(
        digits.images / 16, digits.target, test_size=0.25, random_state=SEED, stratify=digits.target
    )
    save_model(train(seen, seen_labels), folder / "model")
    save_images(unseen, unseen_labels, folder)
    print(f"Trained on {len(seen)} handwritten digits; {len(unseen)} others wait in {folder / 'images'}")


if __name__ == "__main__":
    main()
