"""The reference page of the HTTP API, made from the OpenAPI document.

`python -m gristmill_scheduler.http.reference > docs/reference/http.md` writes it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from importlib import resources
from typing import Any, Final

from gristmill.settings import ProcessSettings
from gristmill_scheduler.http.auth import Guard
from gristmill_scheduler.http.openapi import RESPONSES, ROLE
from gristmill_scheduler.http.services import About
from gristmill_scheduler.http.tokens import Tokens
from gristmill_scheduler.server import Server
from gristmill_storage.files import MemoryStore
from gristmill_storage.workspace import Workspace

#: What stands for a path's parts in the examples.
_NAMES: Final = {
    "endpoint": "words",
    "deployment": "counter",
    "job": "first",
    "output": "score",
    "path": "predictions.csv",
    "name": "digits",
    "version": "1",
    "label": "latest",
    "tree": "$TREE",
    "token": "$ID",
}

_REASON: Final = "needs a server and names of one's own"

#: Answers that the introduction explains.
_SHARED: Final = frozenset({*(str(status) for status in RESPONSES), "422"})

Operation = dict[str, Any]


def page() -> str:
    """Return the page as Markdown: an introduction, then a section for each group of routes."""
    introduction = resources.files("gristmill_scheduler.http").joinpath("reference.md").read_text(encoding="utf-8")
    return "\n\n".join([introduction.strip(), *_groups(document())]) + "\n"


def document() -> dict[str, Any]:
    """Return the OpenAPI document of a server that is not started."""
    workspace = Workspace(MemoryStore())
    settings = ProcessSettings.read({"GRISTMILL_REDIS_URL": "redis://localhost:6379/0"})
    server = Server(settings, workspace, Guard(Tokens(workspace.documents("tokens"))), about=About(url=""))
    described: dict[str, Any] = server.app.openapi()
    return described


def _groups(described: dict[str, Any]) -> Iterator[str]:
    every = [
        (path, method, operation) for path, ways in described["paths"].items() for method, operation in ways.items()
    ]
    every = [each for each in every if each[2].get("tags")]
    groups: dict[str, list[tuple[str, str, Operation]]] = {}
    for each in every:
        # Routes of one group may be added apart.
        groups.setdefault(each[2]["tags"][0], []).append(each)
    for group, operations in groups.items():
        yield "\n\n".join([f"## {group[:1].upper()}{group[1:]}", *(_section(*each) for each in operations)])


def _section(path: str, method: str, operation: Operation) -> str:
    text = operation.get("description") or f"{operation['summary']}."
    who = operation.get(ROLE, "anyone, without a token")
    parts = [f"### `{method.upper()} {path}`", text, f"Asked by: {who}. Answers: {_answers(operation)}."]
    rows = [_row(each) for each in operation.get("parameters", ()) if each["in"] != "path"]
    body = _body(operation)
    if body:
        rows.append(f"| body | {body} |")
    if rows:
        parts.append("\n".join(["| part | meaning |", "| --- | --- |", *rows]))
    return "\n\n".join([*parts, _example(path, method, operation)])


def _answers(operation: Operation) -> str:
    own = {status: each for status, each in operation["responses"].items() if status not in _SHARED}
    return ", ".join(f"{status}{_words(each)}" for status, each in sorted(own.items()))


def _words(answer: dict[str, Any]) -> str:
    text = answer.get("description", "")
    return "" if text in ("", "Successful Response") else f" ({text[:1].lower()}{text[1:]})"


def _row(parameter: dict[str, Any]) -> str:
    schema = parameter.get("schema", {})
    default = schema.get("default")
    shown = f" (default: `{str(default).lower() if isinstance(default, bool) else default}`)" if default else ""
    choices = "".join(f" `{each}`" for each in schema.get("enum", ()))
    kind = "header" if parameter["in"] == "header" else "query"
    text = str(parameter.get("description", "")).replace("|", "\\|")
    return f"| `{parameter['name']}` ({kind}) | {text}{choices}{shown} |"


def _body(operation: Operation) -> str:
    content = operation.get("requestBody", {}).get("content", {})
    return "; ".join(f"`{kind}`: {_meant(each)}" for kind, each in content.items())


def _meant(content: dict[str, Any]) -> str:
    return str(content.get("schema", {}).get("description") or "as the client sends it")


def _example(path: str, method: str, operation: Operation) -> str:
    address = re.sub(r"\{(\w+)(:path)?\}", lambda match: _NAMES.get(match[1], match[1]), path)
    words = ["curl -sS --fail-with-body"]
    if method != "get":
        words.append(f"-X {method.upper()}")
    if operation.get(ROLE):
        words.append('-H "Authorization: Bearer $TOKEN"')
    kinds = list(operation.get("requestBody", {}).get("content", {}))
    if kinds:
        words.append(
            f'-H "Content-Type: {kinds[0]}" {"-d @body.json" if "json" in kinds[0] else "--data-binary @body"}'
        )
    return "\n".join([f"<!-- not run: {_REASON} -->", "```console", f'$ {" ".join(words)} "$URL{address}"', "```"])


if __name__ == "__main__":
    sys.stdout.write(page())
