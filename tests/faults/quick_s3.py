"""What makes S3's clients start quickly: they are made by the hundred in tests, to speak to a server without TLS."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

END = "-----END CERTIFICATE-----\n"


def one_certificate(folder: Path) -> Path:
    """Return a file for `AWS_CA_BUNDLE`: each client reads all authorities of the world otherwise, and asks none."""
    import certifi

    path = folder / "one.pem"
    path.write_text(Path(certifi.where()).read_text().partition(END)[0] + END)
    return path


def share_models(patch: pytest.MonkeyPatch) -> None:
    """Have all clients of this process share the descriptions of services that each one reads otherwise."""
    from botocore import loaders

    patch.setattr(loaders, "create_loader", functools.cache(loaders.create_loader))
