"""What the documentation asks its reader to type, so that the tests can type it.

In a page, a fenced block marked `console` holds commands (`$ ` and what continues them after a backslash) and, if it
says more, what they print; `...` there stands for anything. HTML comments right above a fence say what to do with it:

    <!-- file: score.py -->          the block is the content of that file, relative to the reader's folder
    <!-- not run: needs a cluster --> the commands are not run, for this reason

    python scripts/doc_blocks.py    lists every command, and why some are not run
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent

#: Variables that keep what a command leaves behind apart from the machine's own.
_OWN = ("GRISTMILL_CACHE", "XDG_CONFIG_HOME", "XDG_DATA_HOME")

_FENCE = re.compile(r"^(?P<indent> *)```(?P<kind>[^`\n]*)\n(?P<body>.*?)^(?P=indent)```[ ]*$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- (?P<what>file|not run): (?P<value>[^\n]+?) -->\s*\Z")


@dataclass
class Command:
    """One command and what the page says that it prints."""

    text: str
    expected: str = ""


@dataclass(frozen=True)
class Block:
    """One fenced block of a page."""

    #: Path of the page, relative to the repository.
    page: str
    #: Line of the opening fence, counted from 1.
    line: int
    #: What stands behind the opening fence.
    kind: str
    body: str
    #: The file that the block is the content of; "" for none.
    file: str
    #: Why its commands are not run; "" when they are.
    reason: str
    commands: list[Command] = field(default_factory=list)

    @property
    def place(self) -> str:
        """Where the block stands."""
        return f"{self.page}:{self.line}"


def pages() -> list[Path]:
    """Return every page that a reader may type from, examples' own pages left out."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page in order."""
    text = page.read_text(encoding="utf-8")
    return [_block(page, text, match) for match in _FENCE.finditer(text)]


def _block(page: Path, text: str, match: re.Match[str]) -> Block:
    comment = _COMMENT.search(text[: match.start()])
    said = {comment["what"]: comment["value"]} if comment else {}
    body = re.sub(rf"^{match['indent']}", "", match["body"], flags=re.MULTILINE)
    kind = match["kind"].strip()
    return Block(
        page=page.relative_to(ROOT).as_posix(),
        line=text.count("\n", 0, match.start()) + 1,
        kind=kind,
        body=body,
        file=said.get("file", ""),
        reason=said.get("not run", ""),
        commands=_commands(body) if kind == "console" else [],
    )


def _commands(body: str) -> list[Command]:
    found: list[Command] = []
    continues = False
    for line in body.splitlines():
        if line.startswith("$ "):
            found.append(Command(line[2:]))
        elif continues:
            found[-1].text += "\n" + line
        elif found:
            found[-1].expected += line + "\n"
        else:
            message = f"a console block begins with '$ ', not with {line!r}"
            raise ValueError(message)
        continues = (line.startswith("$ ") or continues) and line.endswith("\\")
    return found


def type_in(command: Command, folder: Path, place: str, *, seconds: float = 110) -> str:
    """Run a command in a folder, as somebody who has installed Gristmill and nothing else; return what it printed.

    Raises:
        AssertionError: it did not exit with 0; both its streams are in the message.

    """
    hidden = ("GRISTMILL_", "PYTEST_", "COV_", "COVERAGE_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command.text],
        cwd=folder,
        env=kept | {"PATH": path} | {name: str(folder / ".own" / name) for name in _OWN},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{place}: {command.text}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def main() -> None:
    """List every command."""
    for page in pages():
        for block in blocks(page):
            for command in block.commands:
                print(f"{block.place}  {command.text}" + (f"  [not run: {block.reason}]" if block.reason else ""))


if __name__ == "__main__":
    main()
