"""What a script prints or logs is lost where its disk is full; the script goes on."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from gristmill_workers.scorer import entry_script, surroundings


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here that is always full")
def test_printing_to_a_full_disk_is_no_error() -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    stream = surroundings._stream(descriptor)
    try:
        for _ in range(3):
            print("much" * 10_000, file=stream)
        stream.flush()
    finally:
        stream.close()
        os.close(descriptor)


def test_a_log_file_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = entry_script._LogFile(str(tmp_path / "file/log.txt"), delay=True)

    log.emit(logging.LogRecord("name", logging.INFO, "path", 1, "hello", (), None))
    log.close()
