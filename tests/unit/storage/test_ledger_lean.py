from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

LOADED = "print(json.dumps([name in sys.modules for name in ('redis.asyncio.client', 'opentelemetry.sdk.metrics')]))"


def run(code: str, *, path: Path | None = None) -> list[str]:
    """Run code in a process of its own, after the import; return its lines."""
    start = "import json, sys; from gristmill_storage.ledger.lean import import_redis\n"
    where = f"import sys; sys.path.insert(0, {str(path)!r})\n" if path else ""
    process = subprocess.run(
        [sys.executable, "-c", where + start + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout.splitlines()


def test_scheduler_and_node_import_neither_asyncio_clients_nor_metrics() -> None:
    code = f"import_redis(); import gristmill_scheduler.door, gristmill_workers.node; {LOADED}"

    assert run(code) == ["[false, false]"]


def test_what_was_put_off_is_the_real_thing_when_it_is_asked_for(redis_url: str) -> None:
    code = f"""
        import_redis()
        {LOADED}
        import asyncio, redis, redis.asyncio
        async def main():
            client = redis.asyncio.Redis.from_url({redis_url!r})
            await client.set("a", "1", ex=9)
            print(await client.get("a"))
            await client.aclose()
        asyncio.run(main())
        print(type(redis.asyncio).__name__, redis.asyncio is sys.modules["redis.asyncio"])
        from redis.asyncio import Sentinel
        print(Sentinel.__name__, redis.Redis.from_url({redis_url!r}).get("a"))
    """

    assert run(code) == ["[false, false]", "b'1'", "module True", "Sentinel b'1'"]


def test_what_is_imported_already_stays_as_it_is() -> None:
    code = "import redis; before = dict(sys.modules); import_redis(); print(sys.modules == before)"

    assert run(code) == ["True"]


def test_metrics_can_be_imported_by_others_afterwards() -> None:
    pytest.importorskip("opentelemetry.sdk.metrics")
    code = "import_redis(); import opentelemetry.sdk.metrics as metrics; print(metrics.MeterProvider.__name__)"

    assert run(code) == ["MeterProvider"]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("from redis import asyncio; asyncio.Redis; whole = True", "True"),  # asks for it at once
        ("import sys\nif sys.modules['redis.asyncio'].__doc__ is None: raise RuntimeError\nwhole = True", "False"),
    ],
)
def test_where_redis_is_built_otherwise_it_is_imported_as_it_is(tmp_path: Path, source: str, says: str) -> None:
    package = tmp_path / "redis"
    (package / "asyncio").mkdir(parents=True)
    (package / "__init__.py").write_text(source)
    (package / "asyncio" / "__init__.py").write_text('"""Has a word."""\nclass Redis: pass\n')

    assert run(f"import_redis(); print('redis' in sys.modules and {says})", path=tmp_path) == [says]


def test_without_redis_nothing_happens(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("")
    code = (
        "sys.path[:] = [p for p in sys.path if 'site-packages' not in p]; import_redis(); print('redis' in sys.modules)"
    )

    assert run(code) == ["False"]
