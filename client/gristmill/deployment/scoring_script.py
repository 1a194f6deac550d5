"""From `code_configuration:` to `spec.CodeConfiguration`: the script is read and parsed before anything is started.

Source: azure-ai-ml's `validate_scoring_script` (the sentences), the batch scoring script's contract (init and run).
"""

from __future__ import annotations

import ast
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gristmill import spec
from gristmill.deployment import messages
from gristmill.deployment.nodes import Unreadable, short
from gristmill.deployment.reading import MOST_BYTES
from gristmill.deployment.references import kept_path, local_path
from gristmill.deployment.report import Refused, Report
from gristmill.deployment.sections import Given

#: Names by which a script may define others while it runs; where one is used nothing is clearly absent.
_DYNAMIC: Final = frozenset({"exec", "globals", "vars", "setattr", "__getattr__"})
_SCOPES: Final = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


def read_code(root: Given, *, folder: str | None, report: Report, check: bool = True) -> spec.CodeConfiguration | None:
    """Return the deployment's code; None: it has none, or none that can be used (which is noted).

    Without `check` the script may be one that is not there, or that Python here cannot read: only its place is looked
    at.
    """
    given = root.section("code_configuration")
    if not root.sound("code_configuration"):
        return None
    if not given.has("code"):
        _missing(given, "code", f"{messages.MISSING} Give the folder that holds the scoring script", report)
    if not given.get("scoring_script", "-").strip() or not given.has("scoring_script"):
        _missing(given, "scoring_script", f"{messages.NO_SCRIPT} Give the script's path, relative to code", report)
        return None
    if not (given.sound("code") and given.sound("scoring_script")):
        return None
    text = given.get("code", "")
    try:
        code = _unseen(text) if folder is None else _folder(text, folder)
    except Refused as refused:
        report.add(given.at("code"), refused.message)
        return None
    if folder is None or not check:
        return _unseen_script(given, code, "/code" if folder is None else code, report)
    return _script(given, code, name=root.get("name", ""), report=report)


def _missing(given: Given, key: str, message: str, report: Report) -> None:
    node = given.at(key)
    report.place(message, field=f"code_configuration.{key}", line=node.line, origin=node.origin)


def _unseen(text: str) -> str:
    _refuse_asset(text)
    return kept_path(text)


def _unseen_script(given: Given, code: str, place: str, report: Report) -> spec.CodeConfiguration | None:
    """Return code whose script is not looked at: only its path is checked, as if the code were at `place`."""
    try:
        path = _inside(given.get("scoring_script", ""), place)
    except Refused as refused:
        report.add(given.at("scoring_script"), refused.message)
        return None
    return spec.CodeConfiguration(code=code, scoring_script=os.path.relpath(path, place))


def _refuse_asset(text: str) -> None:
    if text.startswith("azureml:") and not text.startswith("azureml://datastores/"):
        raise Refused(f"{short(text)!r} is a registered code asset, which cannot be fetched; give a local folder")


def _folder(text: str, folder: str) -> str:
    _refuse_asset(text)
    code = local_path(text, folder)
    if not os.path.isdir(code):  # noqa: PTH112 - Path.is_dir raises where the name is too long
        what = "is a file; give the folder that holds it" if os.path.isfile(code) else "no such folder"  # noqa: PTH113
        raise Refused(f"{what}: {code}")
    return code


def _script(given: Given, code: str, *, name: str, report: Report) -> spec.CodeConfiguration | None:
    text = given.get("scoring_script", "")
    try:
        path = _inside(text, code)
        tree = _parsed(path, text, name)
        _check_functions(tree, text)
    except Refused as refused:
        report.add(given.at("scoring_script"), refused.message)
        return None
    return spec.CodeConfiguration(code=code, scoring_script=os.path.relpath(path, code))


def _inside(text: str, code: str) -> str:
    path = local_path(text, code)
    if os.path.isabs(text) or os.path.commonpath([path, code]) != code or path == code:  # noqa: PTH117 - text, no path
        raise Refused(f"{short(repr(text))} is not inside the code folder; give a path relative to {code}")
    return path


def _parsed(path: str, text: str, name: str) -> ast.Module:
    sentence = messages.SCRIPT_UNREADABLE.format(script=text)
    if not os.path.isfile(path):  # noqa: PTH113 - Path.is_file raises where the name is too long
        raise Refused(f"{sentence} No such file: {path}")
    try:
        with Path(path).open("rb") as file:
            source = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise Refused(f"{sentence} {error.strerror}: {path}") from None
    try:
        return _tree(source)
    except Unreadable as error:
        sentence = messages.SCRIPT_SYNTAX.format(name=name or "(no name)", script=text)
        raise Refused(f"{sentence}: {error.message}") from None


def _tree(source: bytes) -> ast.Module:
    if len(source) > MOST_BYTES:
        raise Unreadable(f"the script is larger than {MOST_BYTES >> 20} MiB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except SyntaxError as error:
        line = f"line {error.lineno}: " if error.lineno else ""
        raise Unreadable(f"{line}{error.msg}") from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise Unreadable(str(error) or "nested too deeply") from None


def _check_functions(tree: ast.Module, text: str) -> None:
    """Refuse a script that clearly lacks a function it must have.

    Raises:
        Refused: init or run is defined, imported and assigned nowhere.

    """
    bound = set(_bound(tree))
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    if "*" in bound or _DYNAMIC & (used | bound):
        return
    absent = [f"{function}()" for function in ("init", "run") if function not in bound]
    if absent:
        raise Refused(f"{text} defines no {' and no '.join(absent)}; a scoring script has init() and run(mini_batch)")


def _bound(tree: ast.Module) -> Iterator[str]:
    """Yield every name that the module's own level binds, and those that functions declare global."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield from node.names
    waiting: list[ast.AST] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, _SCOPES):
            yield node.name
            continue
        yield from _names(node)
        if not isinstance(node, ast.Lambda):
            waiting.extend(ast.iter_child_nodes(node))


def _names(node: ast.AST) -> Iterator[str]:
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in node.names)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, (ast.MatchAs, ast.MatchStar)) and node.name:
        yield node.name
