"""Write constraints.txt: the versions that this Python's environment holds, so that a release elsewhere breaks nothing.

Local versions (`2.13.0+cpu`) are cut off: which build of a package is installed is the machine's business.
"""

from __future__ import annotations

from importlib.metadata import distributions
from pathlib import Path

#: Not pinned: the project itself, and what came with the virtual environment.
LEFT_OUT = {"gristmill", "pip"}

HEAD = "# The versions that Gristmill is tested with. Written by `make pin`.\n"


def pins() -> list[str]:
    """Return one `name==version` a distribution, sorted."""
    found = {d.metadata["Name"].lower().replace("_", "-"): d.version.partition("+")[0] for d in distributions()}
    return [f"{name}=={version}" for name, version in sorted(found.items()) if name not in LEFT_OUT]


if __name__ == "__main__":
    target = Path(__file__).parent.parent / "constraints.txt"
    target.write_text(HEAD + "\n".join(pins()) + "\n", encoding="utf-8")
    print(f"{target.name}: {len(pins())} versions")
