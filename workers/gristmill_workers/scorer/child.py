"""The scorer's entry: `python [-P] <this file> IN_FD OUT_FD PROGRESS_FD`, in the deployment's own Python.

The user's modules own the import path, so this file takes its own folder off it, and loads its siblings under one
name nobody else uses, `gristmill_scorer`. Nothing happens when the file is merely imported: a user's multiprocessing
imports it again in each process that it spawns.
"""

# Paths are plain strings here: a Path a mini-batch would cost more than the mini-batch.
# ruff: noqa: PTH100, PTH118, PTH120
# ruff: noqa: PTH

from __future__ import annotations

import gc
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from os import environ, path, pathsep

#: What a bare interpreter has loaded before anything of ours: a user's module of such a name never wins in Python.
BARE = frozenset(sys.modules)

#: The name under which the siblings of this file are loaded.
PACKAGE = "gristmill_scorer"


def own_folder_off_path(folder: str) -> None:
    """Leave on the import path neither this file's folder nor what an inherited PYTHONPATH put there."""
    inherited = environ.pop("PYTHONPATH", "").split(pathsep)
    unwanted = {path.realpath(entry) for entry in [folder, *inherited] if entry}
    sys.path[:] = [entry for entry in sys.path if entry and path.realpath(entry) not in unwanted]


def load_package(folder: str) -> None:
    """Make the modules of this folder importable as `gristmill_scorer.<name>`."""
    spec = spec_from_file_location(PACKAGE, path.join(folder, "__init__.py"), submodule_search_locations=[folder])
    if spec is None or spec.loader is None:
        raise ImportError(f"{folder} cannot be loaded")
    package = module_from_spec(spec)
    sys.modules[PACKAGE] = package
    spec.loader.exec_module(package)


def main() -> None:
    """Load the package and live a scorer's life; does not return."""
    folder = path.dirname(path.abspath(__file__))
    own_folder_off_path(folder)
    load_package(folder)
    in_fd, out_fd, progress_fd = (int(argument) for argument in sys.argv[1:4])
    gc.disable()  # there is no garbage yet, and it is looked for often
    process = import_module(PACKAGE + ".process")
    gc.enable()
    process.live(in_fd, out_fd, progress_fd, BARE)


if __name__ == "__main__":
    main()
