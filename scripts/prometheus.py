"""Find Prometheus and promtool, or get them from Debian's archive, without installing anything.

    python scripts/prometheus.py          prints the folder that has both; gets them where they are not on PATH

They are unpacked into `.prometheus/` of the repository, so that no service starts and no root is needed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent.parent / ".prometheus"
PROGRAMS = ("prometheus", "promtool")


def find() -> Path | None:
    """Return the folder that has both programs: one of PATH's, or where they were unpacked; None: neither has."""
    on_path = [shutil.which(program) for program in PROGRAMS]
    if all(on_path):
        return Path(str(on_path[0])).parent
    unpacked = FOLDER / "usr" / "bin"
    return unpacked if all((unpacked / program).is_file() for program in PROGRAMS) else None


def get() -> Path:
    """Return the folder that has both programs, got from Debian's archive if need be.

    Raises:
        SystemExit: this is no Debian, or its archive has none.

    """
    found = find()
    if found is not None:
        return found
    if shutil.which("apt-get") is None:
        sys.exit("prometheus is not on PATH, and this is no Debian: install Prometheus 2.42 or newer")
    FOLDER.mkdir(exist_ok=True)
    subprocess.run(["apt-get", "-q", "download", "prometheus"], cwd=FOLDER, check=True, stdout=sys.stderr)
    (package,) = FOLDER.glob("prometheus_*.deb")
    subprocess.run(["dpkg-deb", "--extract", package.name, "."], cwd=FOLDER, check=True)
    package.unlink()
    found = find()
    if found is None:
        sys.exit(f"{FOLDER}: the package has other files than were looked for")
    return found


if __name__ == "__main__":
    print(get())
