"""The scoring script: found, run by its path as a module, its init(), run() and shutdown() called."""

# Paths are plain strings here: a Path a mini-batch would cost more than the mini-batch.
# ruff: noqa: PTH113, PTH118, PTH119, PTH120, PTH122
# ruff: noqa: PTH

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from types import FunctionType, ModuleType
from typing import Any, Callable, Collection

from .start import Start


class ScriptProblem(Exception):
    """The script is not what a scoring script must be; says what is missing and where."""


class MiniBatchContext:
    """The second argument of run(), for scripts that take one."""

    #: Azure's name for the key of partitioned input, which a folder of files has not.
    partition_key_value = None

    def __init__(self, mini_batch: int) -> None:
        """Name the mini-batch by its number in the job."""
        self.minibatch_index = mini_batch

    def __repr__(self) -> str:
        """Show the number."""
        return f"MiniBatchContext(minibatch_index={self.minibatch_index})"


def open_import_path(start: Start, bare: Collection[str]) -> None:
    """Put the user's folders in front of the import path, as if Python had been started with the script.

    A user's module that bears the name of one of Python's own that we have loaded (`bare` are those that Python loads
    by itself) is found by what is imported from now on: what we loaded we keep.
    """
    if start.code is None:
        return
    own = os.path.dirname(os.path.join(start.code, start.script))
    given = [os.path.join(start.code, folder) for folder in start.python_path]
    folders = list(dict.fromkeys([own, start.code, *given]))
    sys.path[:0] = folders
    if given:
        os.environ["PYTHONPATH"] = os.pathsep.join(given)
    _yield_names(folders, bare)


def _yield_names(folders: list[str], bare: Collection[str]) -> None:
    roots = {name.partition(".")[0] for name in sys.modules if name not in bare}
    roots -= set(bare) | set(sys.builtin_module_names)
    taken = {root for root in roots if any(_is_module(os.path.join(folder, root)) for folder in folders)}
    for name in [name for name in sys.modules if name.partition(".")[0] in taken]:
        del sys.modules[name]


def _is_module(path: str) -> bool:
    return os.path.isfile(path + ".py") or os.path.isfile(os.path.join(path, "__init__.py"))


class Script:
    """The user's scoring script."""

    def __init__(self, start: Start, bare: Collection[str]) -> None:
        """Name the script; nothing is loaded yet."""
        self.path = os.path.join(start.code or "", start.script)
        self._bare = bare
        self._run: Callable[..., Any] = _missing
        self._takes_context = False
        self._shutdown: Callable[[], Any] | None = None

    def load(self) -> None:
        """Run the script as a module, and its init().

        Raises:
            ScriptProblem: there is no such file, or it lacks init() or run().
            BaseException: whatever the script raises.

        """
        module = self._execute()
        init = self._function(module, "init")
        self._run = self._function(module, "run")
        self._takes_context = takes_context(self._run)
        self._shutdown = getattr(module, "shutdown", None)
        init()
        self._run = getattr(module, "run", self._run)

    def run(self, paths: list[str], mini_batch: int) -> Any:
        """Have the script score the paths; return whatever it returns."""
        if self._takes_context:
            return self._run(paths, MiniBatchContext(mini_batch))
        return self._run(paths)

    @property
    def has_shutdown(self) -> bool:
        """Whether it knows how to end what it began."""
        return callable(self._shutdown)

    def shutdown(self) -> None:
        """Have the script end what it began, if it knows how."""
        if callable(self._shutdown):
            self._shutdown()

    def _execute(self) -> ModuleType:
        if not os.path.isfile(self.path):
            raise ScriptProblem(f"code_configuration.scoring_script: there is no file {self.path}")
        name = os.path.splitext(os.path.basename(self.path))[0]
        if name in self._bare:  # it would take the place of a module that Python itself stands on
            name = "scoring_" + name
        spec = spec_from_loader(name, SourceFileLoader(name, self.path))
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
        return module

    def _function(self, module: ModuleType, name: str) -> Callable[..., Any]:
        found = getattr(module, name, None)
        if not callable(found):
            wanted = {"init": "init()", "run": "run(mini_batch)"}[name]
            state = "has no" if found is None else "has something that is no function as"
            raise ScriptProblem(f"the scoring script {self.path} {state} {name}: define `def {wanted}`")
        return found  # type: ignore[no-any-return]


def _missing(*_: Any) -> Any:
    raise ScriptProblem("run() was called before the script was loaded")


def takes_context(run: Callable[..., Any]) -> bool:
    """Tell whether run() takes a second argument by position that has no default, or that bears Azure's name for it."""
    if type(run) is FunctionType and not run.__dict__:
        code, defaults = run.__code__, run.__defaults__ or ()
        names, needed = code.co_varnames[: code.co_argcount], code.co_argcount - len(defaults)
    else:
        # Decorated, a class, an object that is called: what finds that out takes longer to import than most scripts.
        inspect = import_module("inspect")
        try:
            parameters = list(inspect.signature(run).parameters.values())
        except (TypeError, ValueError):  # written in C
            return False
        positional = [one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)]
        names = tuple(one.name for one in positional)
        needed = sum(one.default is one.empty for one in positional)
    return len(names) > 1 and (needed > 1 or names[1] == "mini_batch_context")
