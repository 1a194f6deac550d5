"""Install the wheel in dist/ alone, in an empty environment outside the repository, and run a job with it.

What only works because the repository is near (a file left out of the wheel, a dependency that another extra brought)
fails here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = (
    "client/gristmill",
    "storage/gristmill_storage",
    "workers/gristmill_workers",
    "scheduler/gristmill_scheduler",
)

SCRIPT = """\
import os


def init():
    global suffix
    with open(os.path.join(os.environ["AZUREML_MODEL_DIR"], "suffix.txt")) as file:
        suffix = file.read()


def run(mini_batch):
    return [os.path.basename(path) + " " + open(path).read() + suffix for path in mini_batch]
"""

DEPLOYMENT = """\
name: wheel
endpoint_name: check
type: model
model:
  path: suffix.txt
code_configuration:
  code: code
  scoring_script: score.py
compute: local
settings:
  mini_batch_size: 2
  max_concurrency_per_instance: 2
"""


def missing_files(wheel: Path) -> list[str]:
    """Return the packages' files, other than caches, that the wheel lacks."""
    held = set(zipfile.ZipFile(wheel).namelist())
    expected = [
        path.relative_to((ROOT / package).parent).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return sorted(set(expected) - held)


def install(wheel: Path, folder: Path) -> Path:
    """Make an environment in `folder` that holds the wheel with its [local] extra and nothing else; return its bin/."""
    uv = str(Path(sys.executable).parent / "uv")
    environment = folder / "environment"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, str(environment)], check=True)
    python = environment / "bin" / "python"
    pins = str(ROOT / "constraints.txt")
    command = [uv, "pip", "install", "--quiet", "--python", str(python), "--constraints", pins, f"{wheel}[local]"]
    subprocess.run(command, check=True, cwd=folder)
    return python.parent


def score(binaries: Path, folder: Path) -> bytes:
    """Score five small files with the installed command and return the output file's bytes."""
    (folder / "code").mkdir()
    (folder / "code" / "score.py").write_text(SCRIPT, encoding="utf-8")
    (folder / "deployment.yml").write_text(DEPLOYMENT, encoding="utf-8")
    (folder / "suffix.txt").write_text("!", encoding="utf-8")
    (folder / "input").mkdir()
    for number in range(5):
        (folder / "input" / f"{number}.txt").write_text(f"file {number}", encoding="utf-8")
    command = [str(binaries / "gristmill"), "run", "deployment.yml", "--input", "input", "--output", "output"]
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    subprocess.run(command, check=True, cwd=folder, env=outside, stdin=subprocess.DEVNULL, timeout=120)
    return (folder / "output" / "predictions.csv").read_bytes()


def main() -> str:
    """Check the one wheel in dist/ and return what was found, "" when all is well."""
    (wheel,) = (ROOT / "dist").glob("*.whl")
    if missing := missing_files(wheel):
        return f"{wheel.name} lacks {', '.join(missing)}"
    expected = b"".join(f"{number}.txt file {number}!\n".encode() for number in range(5))
    with tempfile.TemporaryDirectory() as name:
        found = score(install(wheel, Path(name)), Path(name))
    if found != expected:
        return f"{wheel.name} gave {found!r} instead of {expected!r}"
    print(f"{wheel.name}: installed alone with [local], it scored 5 files in 3 mini-batches as expected")
    return ""


if __name__ == "__main__":
    sys.exit(main() or None)
