"""Starts a module of Gristmill as if it were of another version: `other_version.py PROTOCOL MODULE ARGUMENT...`.

Nothing else differs: what neighbours must have in common is what this shows them to agree on, and what is refused is
refused for its number.
"""

from __future__ import annotations

import runpy
import sys

import gristmill
from gristmill import versions


def python(protocol: int) -> tuple[str, ...]:
    """Return what runs a module as a process that speaks a protocol."""
    return (sys.executable, "-P", __file__, str(protocol))


def main() -> None:
    protocol, *sys.argv = sys.argv[1:]
    versions.PROTOCOL = int(protocol)
    gristmill.__version__ = f"{protocol}.0.0"
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
