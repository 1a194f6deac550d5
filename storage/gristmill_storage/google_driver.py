"""Google's driver, which does not ask six times, for half a minute, a server whose certificate nobody trusts."""

from __future__ import annotations

from typing import Any

from gcsfs.core import GCSFileSystem
from gcsfs.retry import is_retriable

from gristmill_storage.patience import is_untrusted


class GoogleDriver(GCSFileSystem):  # type: ignore[misc]
    """The plain driver: what the package gives out as its own asks Google about every bucket of what kind it is."""

    async def _request(self, *arguments: Any, **options: Any) -> Any:
        """Ask once; then, where that may help, as often as the driver does."""
        once = GCSFileSystem._request.__wrapped__  # noqa: SLF001 - without its repetitions
        try:
            return await once(self, *arguments, **options)
        except Exception as error:
            if is_untrusted(error) or not is_retriable(error):
                raise
        return await super()._request(*arguments, **options)
