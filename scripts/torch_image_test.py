"""Build the image with torch, and try in a container what the image takes out of torch to be smaller.

    python scripts/torch_image_test.py

Where nothing can be pulled it is torch for the CPU alone, if that is what the machine's package index has.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Final

import engine as engines

IMAGE: Final = "gristmill:test-torch"
#: Bytes of the image without the libraries of a GPU.
MOST_BYTES: Final = 1_350_000_000

_LIMITS: Final = ("--rm", "--read-only", "--tmpfs", "/tmp:size=64m", "--network", "none", "--cap-drop", "ALL")  # noqa: S108


def main() -> None:
    """Do all of it; what is told to end takes its engine down first."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to end"))
    with engines.engine() as engine:
        size = engines.build(engine, IMAGE, "--target", "torch", locks=("build", "torch"))
        engine.docker(
            "run", *_LIMITS, IMAGE, "uv", "pip", "check", "--no-cache", "--python", "/opt/gristmill/bin/python"
        )
        scripts = f"{Path(__file__).parent}:/scripts:ro"
        engine.docker("run", *_LIMITS, "-v", scripts, IMAGE, "python", "/scripts/try_torch.py")
        engine.docker("run", *_LIMITS, IMAGE, "gristmill", "node", "--help", capture_output=True)
    assert engine.pulls or size < MOST_BYTES, "the image with torch is to be below 1.35 GB"
    print("image-torch-test: 1 passed, 0 failed")


if __name__ == "__main__":
    main()
