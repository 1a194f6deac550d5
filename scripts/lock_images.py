"""Write the locks of the images, deploy/requirements/*.txt: each package with its version and the hashes of its files.

    python scripts/lock_images.py           write them (asks the package index)
    python scripts/lock_images.py --check   tell whether they are what pyproject.toml and constraints.txt want
    python scripts/lock_images.py --wheels  download what they name into deploy/wheels, for builds without an index
                                            (build and runtime, or the locks that follow)

The image of nodes and scheduler is small without pandas, numpy and pyarrow, which `full` adds.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent
LOCKS: Final = ROOT / "deploy" / "requirements"
WHEELS: Final = ROOT / "deploy" / "wheels"

RUNTIME: Final = ("scheduler", "worker", "http", "otel", "s3", "azure")

FULL: Final = (*RUNTIME, "gcs", "mlflow", "parquet")

#: The extras of each lock; a file of the same name ending with .in adds more.
EXTRAS: Final = {"build": (), "lint": (), "runtime": RUNTIME, "full": FULL, "torch": FULL}

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PIN: Final = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def write(lock: str) -> None:
    """Write one lock, for every machine and every Python from 3.11 on."""
    more = LOCKS / f"{lock}.in"
    sources = [*([ROOT / "pyproject.toml"] if EXTRAS[lock] else []), *([more] if more.exists() else [])]
    subprocess.run(
        [
            *(Path(sys.executable).with_name("uv"), "pip", "compile", "--quiet", "--universal", "--generate-hashes"),
            *("--python-version", "3.11", "--no-header", "--no-annotate"),
            *("--constraints", ROOT / "constraints.txt", "--output-file", LOCKS / f"{lock}.txt"),
            *(word for extra in EXTRAS[lock] for word in ("--extra", extra)),
            *sources,
        ],
        stdout=subprocess.DEVNULL,
        check=True,
    )


def faults() -> list[str]:
    """Return what in the locks is not as pyproject.toml and constraints.txt want it."""
    constraints = pins(ROOT / "constraints.txt")
    found = []
    for lock, extras in EXTRAS.items():
        locked = pins(LOCKS / f"{lock}.txt")
        missing = sorted(direct(extras) - set(locked))
        other = sorted(name for name in locked if constraints.get(name, locked[name]) != locked[name])
        found += [f"{lock}.txt: {name} is missing" for name in missing]
        found += [f"{lock}.txt: {name} is {locked[name]}, not {constraints[name]}" for name in other]
    return found


def direct(extras: tuple[str, ...]) -> set[str]:
    """Return the packages that extras ask for themselves, and those that every installation has."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*(project["dependencies"] if extras else ())]
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    names = [_NAME.match(each) for each in wanted]
    return {normal(name[0]) for name in names if name} - {"gristmill"}


def pins(path: Path) -> dict[str, str]:
    """Return the versions that a lock or a list of constraints names."""
    return {normal(name): version for name, version in _PIN.findall(path.read_text("utf-8"))}


def normal(name: str) -> str:
    """Return a package's name as indexes write it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def wheels(lock: str) -> None:
    """Download what a lock names, for any version of Python that the base image may have; what is there stays."""
    there = {"-".join(path.name.split("-")[:2]).lower() for path in WHEELS.glob("*.whl")}
    if {f"{name.replace('-', '_')}-{version}" for name, version in pins(LOCKS / f"{lock}.txt").items()} <= there:
        return
    text = re.sub(r" ;[^\\\n]*", " ", (LOCKS / f"{lock}.txt").read_text("utf-8"))
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(text)
        file.flush()
        command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", "--require-hashes", "-r", file.name]
        subprocess.run([*command, "-d", WHEELS], check=True)


def torch() -> None:
    """Download torch as deploy/Dockerfile names it; its hash differs with the machine, and is in no lock."""
    wanted = re.search(r"^ARG TORCH=(\S+)$", (LOCKS.parent / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert wanted is not None
    if not list(WHEELS.glob(f"{wanted[1].replace('==', '-')}*.whl")):
        command = [sys.executable, "-m", "pip", "download", "-qq", "--no-deps", wanted[1], "-d", str(WHEELS)]
        subprocess.run(command, check=True)


def main(arguments: list[str]) -> int:
    """Do what the arguments ask for."""
    if arguments == ["--check"]:
        print(
            "\n".join(
                [*(found := faults()), f"{len(found)} faults; make lock-images mends them" if found else "locks: ok"]
            )
        )
        return bool(found)
    if arguments[:1] == ["--wheels"]:
        for lock in arguments[1:] or ("build", "runtime"):
            wheels(lock)
            if lock == "torch":
                torch()
        return 0
    for lock in EXTRAS:
        write(lock)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
