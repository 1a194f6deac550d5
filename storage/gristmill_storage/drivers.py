"""What Gristmill sets of fsspec's drivers; the rest is each driver's own configuration (environment, files)."""

from __future__ import annotations

import logging
from typing import Any, Final

import fsspec

from gristmill_storage.credentials import azure_host
from gristmill_storage.reach import Reach

#: Requests that are made of a store at once: as many as a node fetches items at once.
CONNECTIONS: Final = 64

#: What keeps a driver from holding several pieces of a file in memory while it copies it here.
ONE_STREAM: Final[dict[str, dict[str, Any]]] = {"gs": {"concurrency": 1}, "gcs": {"concurrency": 1}}

#: How Azure's client asks again by itself: soon and twice. As it comes, its first pause is of 15 seconds and more.
_AGAIN: Final = {"initial_backoff": 0.2, "increment_base": 0, "random_jitter_range": 0.1, "total_retries": 2}

# Azure's client tells of every request and answer, with all their headers.
logging.getLogger("azure.core.pipeline.policies.http_logging_policy").setLevel(logging.WARNING)
# Google's driver shows the traceback of whatever it raises; that another writer was faster is no trouble.
logging.getLogger("gcsfs").setLevel(logging.CRITICAL)


def open_driver(scheme: str, url: str, *, secret: dict[str, Any], reach: Reach | None) -> Any:
    """Return a scheme's driver, ready to be asked.

    Args:
        scheme: of the address, in lower case.
        url: the address, without a reference to credentials.
        secret: what the driver takes of these credentials.
        reach: which hosts a web address may lead to; None: any.

    Raises:
        ImportError: it is not installed.

    """
    given = options(scheme, reach) | _of_the_address(scheme, url) | secret
    driver = driver_of(scheme)(use_listings_cache=False, **given)
    if scheme in ("abfs", "abfss", "az"):
        _come_again_soon(driver)
    return driver


def options(scheme: str, reach: Reach | None = None) -> dict[str, Any]:
    """Return what is set of a scheme's driver."""
    if scheme in ("http", "https"):
        return _of_the_web(reach)
    if scheme in ("gs", "gcs"):
        # Its prefetcher is on by default and takes hundreds of MB a stream.
        return {"use_experimental_adaptive_prefetching": False}
    if scheme in ("abfs", "abfss", "az"):
        # Of one file it fetches 128 pieces of 4 MB at once otherwise.
        return {"max_concurrency": 4}
    if scheme in ("s3", "s3a"):
        # A server that does not answer would be waited for and asked again for half an hour; `patience.py` does that.
        # By default 10 requests are made at once, and the others wait.
        patient = {"connect_timeout": 10, "read_timeout": 30, "retries": {"max_attempts": 2}}
        return {"config_kwargs": {**patient, "max_pool_connections": CONNECTIONS}}
    return {}


def _of_the_web(reach: Reach | None) -> dict[str, Any]:
    from aiohttp import ClientTimeout  # noqa: PLC0415 - comes with the driver

    from gristmill_storage.web import opener  # noqa: PLC0415 - as above

    # By default a download of any size has five minutes in all.
    timeout = ClientTimeout(total=None, sock_connect=30, sock_read=60)
    bounded = {} if reach is None else {"get_client": opener(reach)}
    return {"encoded": True, "client_kwargs": {"timeout": timeout}, **bounded}


def driver_of(scheme: str) -> Any:
    """Return the class of a scheme's driver."""
    if scheme in ("gs", "gcs"):
        from gristmill_storage.google_driver import GoogleDriver  # noqa: PLC0415 - an extra

        return GoogleDriver
    return fsspec.get_filesystem_class(scheme)


def _of_the_address(scheme: str, url: str) -> dict[str, Any]:
    """Return what a driver has to be told of an address: the account of Azure's, and its host where that is another."""
    host, domain = azure_host(url) if scheme in ("abfs", "abfss") else ("", "")
    if not host:
        return {}
    other = {} if domain == "core.windows.net" else {"account_host": host}
    return {"account_name": host.partition(".")[0], **other}


def _come_again_soon(driver: Any) -> None:
    """Set how Azure's client asks again, which its driver does not hand on; `patience.py` waits longer."""
    pipeline = getattr(getattr(driver, "service_client", None), "_pipeline", None)
    for policy in getattr(pipeline, "_impl_policies", ()):
        if all(hasattr(policy, name) for name in _AGAIN):
            vars(policy).update(_AGAIN)
