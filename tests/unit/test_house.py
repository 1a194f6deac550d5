"""The house rules that no other tool checks: sizes, names, versions, documentation, and nothing of anyone's machine."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import doc_blocks
import pytest

ROOT = doc_blocks.ROOT
PACKAGES = {
    "gristmill": "client",
    "gristmill_storage": "storage",
    "gristmill_workers": "workers",
    "gristmill_scheduler": "scheduler",
}
#: Folders of programs that are no part of the packages.
BESIDE = ("benchmarks", "deploy", "scripts")
MODULES = sorted(
    path
    for folder in (*(f"{folder}/{name}" for name, folder in PACKAGES.items()), *BESIDE)
    for path in (ROOT / folder).rglob("*.py")
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

#: Modules that may be longer than 400 lines, each with its reason.
LONG_MODULES: dict[str, str] = {}
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60

#: Names that say nothing and so collect everything.
EMPTY_NAMES = {"utils", "util", "helpers", "common", "base", "misc"}

#: In pieces, so that this file does not hold what it looks for.
MACHINE_PATHS = re.compile(r"(?<![\w.<>}*-])/(?:" + "|".join(("wo" + "rk", "ro" + "ot")) + ")/")
REGISTRY_HOSTS = re.compile(
    "|".join(("py" + r"pi\.org", "python" + r"hosted\.org", "npm" + r"js\.org", "download" + r"\.pytorch"))
)


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_without_docstring(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = function.body[0]
    documented = ast.get_docstring(function, clean=False) is not None
    docstring = (first.end_lineno or 0) - first.lineno + 1 if documented else 0
    return (function.end_lineno or 0) - function.lineno + 1 - docstring


def tracked_texts() -> Iterator[tuple[str, str]]:
    """Every text file that git tracks, and its content."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and b"\0" not in (content := path.read_bytes()):
            yield name, content.decode("utf-8")


@pytest.mark.parametrize("folder", [*PACKAGES.values(), *BESIDE])
def test_there_are_modules_to_look_at(folder: str) -> None:
    assert [path for path in MODULES if path.relative_to(ROOT).parts[0] == folder]


def test_no_function_is_longer_than_sixty_lines() -> None:
    long = [
        f"{relative(path)}:{function.lineno} {function.name}: {lines_without_docstring(function)}"
        for path in MODULES
        for function in functions(path)
        if lines_without_docstring(function) > MAX_FUNCTION_LINES
    ]

    assert long == []


def test_no_module_is_longer_than_four_hundred_lines() -> None:
    sizes = {relative(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}

    assert {name: size for name, size in sizes.items() if size > MAX_MODULE_LINES and name not in LONG_MODULES} == {}
    assert [name for name in LONG_MODULES if sizes.get(name, 0) <= MAX_MODULE_LINES] == []


def test_no_module_has_a_name_that_says_nothing() -> None:
    names = {relative(path): {path.stem, path.parent.name} for path in MODULES}

    assert [name for name, words in names.items() if words & EMPTY_NAMES] == []


def test_every_module_says_why_it_exists() -> None:
    silent = [relative(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]

    assert silent == []


@pytest.mark.parametrize("package", PACKAGES)
def test_the_package_is_in_the_wheel_with_its_types(package: str) -> None:
    where = f"{PACKAGES[package]}/{package}"

    assert where in PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert PACKAGES[package] in PROJECT["tool"]["hatch"]["build"]["dev-mode-dirs"]
    assert (ROOT / where / "py.typed").is_file()


@pytest.mark.parametrize("package", PACKAGES)
def test_the_package_is_checked_by_every_checker(package: str) -> None:
    tools = PROJECT["tool"]

    assert package in tools["mypy"]["packages"]
    assert package in tools["coverage"]["run"]["source_pkgs"]
    assert package in tools["importlinter"]["root_packages"]
    assert PACKAGES[package] in tools["ruff"]["src"]


def test_the_checkers_are_as_strict_as_they_can_be() -> None:
    tools = PROJECT["tool"]

    assert tools["ruff"]["lint"]["select"] == ["ALL"]
    assert tools["mypy"]["strict"] is True
    assert tools["pytest"]["ini_options"]["filterwarnings"] == ["error"]
    assert tools["importlinter"]["contracts"][0]["layers"] == [
        "gristmill_scheduler | gristmill_workers",
        "gristmill_storage",
        "gristmill",
    ]


def test_the_changelog_is_about_this_version() -> None:
    versions = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)

    assert next(version for version in versions if version != "Unreleased") == PROJECT["project"]["version"]


def test_every_dependency_is_pinned_for_tests() -> None:
    pinned = dict(re.findall(r"^([a-z0-9-]+)==([^+\s]+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    extras = PROJECT["project"]["optional-dependencies"]
    wanted = [*PROJECT["project"]["dependencies"], *extras["dev"], *extras["demo"], *extras["local"]]

    names = {re.split(r"[\[>=<]", entry)[0].lower() for entry in wanted} - {"gristmill"}
    assert names - set(pinned) == set()


def test_no_tracked_file_names_a_place_of_one_machine() -> None:
    found = [
        f"{name}: {match.group()}"
        for name, text in tracked_texts()
        for match in (*MACHINE_PATHS.finditer(text), *REGISTRY_HOSTS.finditer(text))
    ]

    assert found == []


def test_make_help_lists_every_target() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, check=True, text=True).stdout

    phony = re.search(r"^\.PHONY: (.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert phony
    assert re.findall(r"^  make ([\w-]+) +\S", listed, re.MULTILINE) == phony.group(1).split()


def test_the_readme_shows_code_by_line_thirty() -> None:
    assert doc_blocks.blocks(ROOT / "README.md")[0].line <= 30


def test_every_block_of_the_documentation_says_what_it_is() -> None:
    nameless = [block.place for page in doc_blocks.pages() for block in doc_blocks.blocks(page) if not block.kind]

    assert nameless == []


def test_every_command_of_the_documentation_is_typed_by_a_test_or_says_why_not() -> None:
    shells = {"bash", "sh", "shell", "shell-session", "sh-session"}
    blocks = [block for page in doc_blocks.pages() for block in doc_blocks.blocks(page)]

    assert [block.place for block in blocks if block.kind in shells] == []
    assert [block.place for block in blocks if block.kind == "console" and not block.commands] == []
    assert sum(len(block.commands) for block in blocks if not block.reason) > 10


def test_every_link_of_the_documentation_leads_somewhere() -> None:
    lost = [
        f"{relative(page)}: {target}"
        for page in [*doc_blocks.pages(), *(ROOT / "examples").rglob("*.md")]
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)|src=\"([^\"]+)\"", page.read_text(encoding="utf-8"))
        for target in filter(None, target)
        if "://" not in target and not (page.parent / target).exists()
    ]

    assert lost == []
