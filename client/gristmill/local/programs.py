"""The command lines of the processes that one process has for itself."""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Final

#: -P: the folder that the user happens to stand in is no place to import from.
PYTHON: Final = (sys.executable, "-P", "-m")

SERVER: Final = (*PYTHON, "gristmill_storage.server")
NODE: Final = (*PYTHON, "gristmill_workers")
SCHEDULER: Final = (*PYTHON, "gristmill_scheduler")
SERVICE: Final = (*PYTHON, "gristmill_scheduler.service")


def server_command(*, folder: Path, socket: Path) -> tuple[str, ...]:
    """Return what starts the embedded server as a child of this process, on that socket, with its file in `folder`."""
    # Its parent is named: it is not to take for its parent who inherits an orphan.
    return (*SERVER, "--folder", str(folder), "--socket", str(socket), "--parent", str(os.getpid()))
