"""Keeps redis-py from importing what a process of ours never uses, a fifth of all that it imports.

`import redis` brings the asyncio clients and, where OpenTelemetry happens to be installed, its metrics. Both cost each
scheduler and each node, at each start, more time than all of our own modules. The asyncio package is put off until
somebody asks it for something, and is then the real one; OpenTelemetry looks as if it were not installed, to redis-py
alone. Where redis-py is built otherwise than this knows, nothing is put off, and nothing is lost but the time.

For the processes of the scheduler and of nodes, which are ours alone; a library has no business in its user's imports.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any, Final

_ASYNCIO: Final = "redis.asyncio"

_METRICS: Final = "opentelemetry.sdk.metrics"


class _Later(ModuleType):
    """A package that runs its own file when something of it is first asked for; its modules can be imported before."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.__class__ = ModuleType  # type: ignore[assignment]
        assert self.__spec__ is not None
        assert self.__spec__.loader is not None
        self.__spec__.loader.exec_module(self)
        return getattr(self, name)


def import_redis() -> None:
    """Import redis-py, and no more of it than must be."""
    if "redis" in sys.modules:
        return
    package = find_spec("redis")
    asyncio = PathFinder.find_spec(_ASYNCIO, package.submodule_search_locations) if package else None
    if asyncio is None or asyncio.loader is None:
        return
    sys.modules[_ASYNCIO] = _put_off(asyncio)
    with _without(_METRICS):
        try:
            import redis  # noqa: F401, PLC0415
        except Exception:  # noqa: BLE001 - it is built otherwise than we know
            _forget_redis()


def _put_off(spec: ModuleSpec) -> ModuleType:
    package = module_from_spec(spec)
    package.__class__ = _Later
    return package


@contextmanager
def _without(name: str) -> Iterator[None]:
    """Have a module look as if it were not installed, unless somebody has imported it already."""
    if name in sys.modules:
        yield
        return
    sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[name]


def _forget_redis() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "redis"]:
        del sys.modules[name]
