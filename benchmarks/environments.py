"""Environments for what the project does not need itself: what it is measured beside, and by."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path


def python(name: str, packages: Sequence[str], data: Path) -> Path:
    """Return the Python of an environment with these packages, below the folder of the data; it is made once.

    Raises:
        OSError, subprocess.CalledProcessError: it cannot be made.

    """
    folder = data / "environments" / name
    found = folder / "bin" / "python"
    ready, packages = folder / ".ready", list(packages)
    if not ready.exists() or ready.read_text().split() != packages:
        uv = str(Path(sys.executable).with_name("uv"))
        subprocess.run([uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(folder)], check=True)
        # Compiled now, and not by whoever is measured first, or by each where Python may not write what it compiles.
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(found)]
        subprocess.run([*install, *packages], check=True, env=_pips_places())
        ready.write_text("\n".join(packages))
    return found


def _pips_places() -> dict[str, str]:
    """Return the environment for uv, which does not read where pip looks first: packages for GPUs take gigabytes."""
    links = os.environ.get("PIP_FIND_LINKS")
    return {**({"UV_FIND_LINKS": links} if links else {}), **os.environ}
