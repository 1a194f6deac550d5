"""Find Azurite, the Azure Blob service that tests speak to, or get it from npm, without installing anything.

    python scripts/azurite.py          prints the program; gets it where there is none

It is unpacked into `.azurite/` of the repository. 3.35 is the last that runs on Node 20.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

VERSION = "3.35.0"
FOLDER = Path(__file__).parent.parent / ".azurite"
PROGRAM = "azurite-blob"


def find() -> str | None:
    """Return the program: where it was unpacked, or PATH's; None: there is none."""
    unpacked = FOLDER / "node_modules" / ".bin" / PROGRAM
    return str(unpacked) if unpacked.is_file() else shutil.which(PROGRAM)


def get() -> str:
    """Return the program, got from npm if need be.

    Raises:
        SystemExit: there is no npm, or it does not give it.

    """
    found = find()
    if found is not None:
        return found
    npm = shutil.which("npm")
    if npm is None:
        sys.exit(f"npm is not on PATH: install Node.js 20 or newer, or Azurite {VERSION} yourself")
    FOLDER.mkdir(exist_ok=True)
    flags = ["--silent", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(FOLDER)]
    done = subprocess.run([npm, "install", *flags, f"azurite@{VERSION}"], check=False, stdout=sys.stderr)
    found = find()
    if done.returncode or found is None:
        sys.exit(f"npm gave no azurite@{VERSION}: see above")
    return found


if __name__ == "__main__":
    print(get())
