"""What particular texts must look like: names, the output's file name, the delimiter, environment variables."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from gristmill.deployment import messages
from gristmill.deployment.nodes import short
from gristmill.deployment.report import Refused

_NAME: Final = re.compile(r"[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?")
_SHORTEST_NAME: Final = 3
_LONGEST_NAME: Final = 32
#: Bytes that a file's name may have on every usual file system.
_LONGEST_FILE_NAME: Final = 255
#: Files that the aggregator writes beside the output.
RESERVED_FILES: Final = ("summary.json", "errors.jsonl")


def resource_name(what: str) -> Callable[[str], str]:
    """Return the rule for the name of an endpoint or a deployment; names are lower-cased, as Azure's client does."""

    def rule(text: str) -> str:
        if not _NAME.fullmatch(text):
            raise Refused(
                f"{messages.PATTERN} Found {short(repr(text))}; begin with a letter, go on with letters, digits and "
                "dashes, and do not end with a dash"
            )
        if not _SHORTEST_NAME <= len(text) <= _LONGEST_NAME:
            raise Refused(f"{messages.NAME_LENGTH.format(what=what)} Found {text!r} with {len(text)}")
        return text.lower()

    return rule


def output_file_name(text: str) -> str:
    """Accept the plain name of a file in the output's folder.

    Raises:
        Refused: it names a folder, is hidden or reserved, or no file system would take it.

    """
    if "/" in text or "\\" in text:
        problem = "is a path; give a file name alone, the output's folder is given when the job is started"
    elif not text.strip() or not text.isprintable():
        problem = "is no file name; give printable characters"
    elif text.startswith("."):
        problem = "begins with a dot; give a name that does not"
    elif text.lower() in RESERVED_FILES:
        problem = "is written by every job; give another name"
    elif len(text.encode()) > _LONGEST_FILE_NAME:
        problem = f"is longer than {_LONGEST_FILE_NAME} bytes; give a shorter one"
    else:
        return text
    raise Refused(f"{short(repr(text))} {problem}")


def delimiter(text: str) -> str:
    """Accept one character that can stand between fields.

    Raises:
        Refused: it is none, several, or one that CSV itself needs.

    """
    if len(text) != 1:
        hint = r'; a tab is "\t" in double quotes' if text == r"\t" else ""
        raise Refused(f"{short(repr(text))} has {len(text)} characters; give exactly one{hint}")
    if text == '"' or (text != "\t" and not text.isprintable()):
        raise Refused(f"{text!r} cannot stand between fields; give another character, such as ',' or ';'")
    return text


def variable(name: str, value: str) -> None:
    """Accept an environment variable; its value, which may be a secret, is never shown.

    Raises:
        Refused: no process can be given it.

    """
    if not name or "=" in name or "\0" in name:
        raise Refused(f"{short(repr(name))} is no name of a variable; it must not be empty or hold '=' or NUL")
    if "\0" in value:
        raise Refused("the value holds a NUL character; no variable can")
