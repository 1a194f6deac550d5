"""Make the container (Azure) or bucket (S3) of the workspace, if there is none: run once, before the scheduler."""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

import fsspec


def main() -> None:
    """Make it; local folders need none, and elsewhere it may be that only its owner may."""
    workspace = os.environ["GRISTMILL_WORKSPACE"]
    parts = urlsplit(workspace)
    if not parts.scheme or parts.scheme == "file":
        return
    name = parts.netloc.rpartition("@")[0].rpartition(":")[0] or parts.netloc.partition("@")[0]
    files = fsspec.filesystem(parts.scheme)
    try:
        files.ls(name)
    except FileNotFoundError:
        files.mkdir(name)
        sys.stdout.write(f"made {name}\n")


if __name__ == "__main__":
    main()
