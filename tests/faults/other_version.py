"""Starts a module of Gristmill as if it were of another version: `other_version.py PROTOCOL FORM MODULE ARGUMENT...`.

Nothing else differs: what neighbours must have in common is what this shows them to agree on, and what is refused is
refused for its number.
"""

from __future__ import annotations

import runpy
import sys

import gristmill
from gristmill import spec, versions


def python(protocol: int, form: int = spec.SPEC_VERSION) -> tuple[str, ...]:
    """Return what runs a module as a process that speaks a protocol, and reads jobs' documents up to a form."""
    return (sys.executable, "-P", __file__, str(protocol), str(form))


def main() -> None:
    protocol, form, *sys.argv = sys.argv[1:]
    versions.PROTOCOL, spec.SPEC_VERSION = int(protocol), int(form)
    gristmill.__version__ = f"{protocol}.0.0"
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
