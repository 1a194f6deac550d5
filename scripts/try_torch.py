"""Use of torch what a script may: a model saved, loaded, traced and exported, and a tensor that processes share."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
import torch.multiprocessing as processes
from torch import Tensor, nn


def double(tensor: Tensor) -> None:
    """Change a tensor in place, in another process."""
    tensor *= 2


def share() -> None:
    """Let another process change a tensor; `torch_shm_manager` keeps it."""
    processes.set_sharing_strategy("file_system")
    shared = torch.ones(3).share_memory_()
    process = processes.get_context("spawn").Process(target=double, args=(shared,))
    process.start()
    process.join()
    assert (process.exitcode, shared.tolist()) == (0, [2, 2, 2])


def score() -> None:
    """Compare the forms that a model may be kept in."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(72, 3)).eval()
    image = torch.rand(1, 1, 8, 8)
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = Path(folder) / "weights.pt"
        torch.save(model.state_dict(), path)
        model.load_state_dict(torch.load(path, weights_only=True))
        expected = model(image)
    for form in (torch.jit.trace(model, image), torch.export.export(model, (image,)).module()):
        assert torch.allclose(form(image), expected, atol=1e-5)


if __name__ == "__main__":
    share()
    score()
    print(f"torch {torch.__version__}: ok")
