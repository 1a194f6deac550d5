"""The network: 8 x 8 grey pixels in, ten logits out."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import nn


class DigitClassifier(nn.Module):
    """Two convolutions and a linear layer, about 10,000 weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 16, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 3, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 4 * 4, 10),
        )

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.layers(pixels)


def load_image(path: str) -> torch.Tensor:
    """Return an image file as a tensor of shape (1, 8, 8), values from 0 to 1."""
    with Image.open(path) as image:
        return torch.from_numpy(np.asarray(image.convert("L"), dtype=np.float32) / 255).unsqueeze(0)
