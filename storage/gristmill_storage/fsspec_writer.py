"""A stream into an object store: one put for a small file, a multipart upload for a large one.

An upload appears when it is published; one that is cut off by a kill leaves parts that only the store's own lifecycle
rule, or `FsspecStore.sweep`, removes.

A request that fails can be sent again, though the drivers' files are not made for it: their buffer keeps what could not
be sent, so the bytes are not handed over twice. The reply to the last request may get lost after the store has carried
it out. Then the store refuses its repetition, or knows the upload no longer; what is found there decides, by size and
checksum, whether it is this writer's own work.
"""

from __future__ import annotations

import io
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gristmill.errors import AlreadyExists, NotFound, StorageFailed
from gristmill_storage.store import Writer

if TYPE_CHECKING:
    from gristmill_storage.fsspec_store import FsspecStore

#: Bytes up to which a file is written by one put, and of each piece of a larger one. S3 takes 10,000 pieces: 160 GiB.
BUFFER: Final = 16 << 20


class FsspecWriter(Writer):
    """One put for a small file, a multipart upload for a large one."""

    def __init__(self, store: FsspecStore, path: str, *, overwrite: bool) -> None:
        """Take the store and the file's path."""
        super().__init__()
        self._store = store
        self._path = path
        self._overwrite = overwrite
        self._buffer = bytearray()
        self._upload: Any = None
        self._crc = 0
        #: Bytes taken of what is being appended, for when it is appended again.
        self._taken = 0
        #: Whether the driver holds bytes that it could not send.
        self._stuck = False
        #: What the store answered that may have carried out the last request already.
        self._doubt: StorageFailed | None = None

    def _append(self, data: memoryview) -> None:
        while self._taken < data.nbytes:
            piece = data[self._taken : self._taken + BUFFER]
            self._take(piece)
            self._taken += piece.nbytes
        self._taken = 0

    def _take(self, piece: memoryview) -> None:
        if self._upload is None and len(self._buffer) + piece.nbytes <= BUFFER:
            self._buffer += piece
            return
        if self._upload is None:
            self._begin()
        if self._buffer:
            self._send(self._buffer)
            self._buffer = bytearray()
        self._send(piece)

    def _begin(self) -> None:
        store = self._store
        with store.translated(self._path):
            if not self._overwrite and not store.conditional:
                store.refuse_existing(self._path)
            mode = "xb" if store.conditional and not self._overwrite else "wb"
            self._upload = store.fs.open(store.address(self._path), mode, block_size=BUFFER)

    def _send(self, data: bytearray | memoryview) -> None:
        """Hand bytes to the driver, or have it send those that it could not send the last time."""
        with self._store.translated(self._path):
            try:
                self._upload.flush() if self._stuck else self._upload.write(data)
            except Exception:
                self._stuck = True
                if self._upload.closed:  # drivers close a file whose upload could not be begun
                    self._upload.closed, self._upload.offset = False, None
                raise
        self._stuck = False
        self._crc = zlib.crc32(data, self._crc)

    def _publish(self) -> None:
        if self._upload is None:
            (self._store.replace if self._overwrite else self._store.create)(self._path, bytes(self._buffer))
            return
        if self._doubt is None:
            self._complete()
        if self._doubt is not None:
            self._decide(self._doubt)

    def _complete(self) -> None:
        """Send what is left and the last request."""
        sent = len(getattr(self._upload, "parts", None) or ())
        try:
            with self._store.translated(self._path):
                self._upload.close()
        except (AlreadyExists, NotFound) as error:
            self._doubt = error
        except Exception as error:
            if getattr(self._upload, "mpu", None) is None:
                # Whether this driver's file can be closed twice is not known; the request may have been carried out.
                self._doubt = error if isinstance(error, StorageFailed) else None
            self._reopen(sent)
            raise

    def _reopen(self, sent: int) -> None:
        """Make the driver's file one that can be closed again, without the bytes of pieces that have arrived."""
        self._upload.closed = self._upload.forced = False
        if len(getattr(self._upload, "parts", None) or ()) > sent:
            self._upload.buffer = io.BytesIO()

    def _decide(self, doubt: StorageFailed) -> None:
        """Take what is there for this writer's own work if it is what was written; else refuse.

        Raises:
            AlreadyExists: another writer's file is there.
            StorageFailed: nothing is there, or it cannot be looked at.

        """
        try:
            own = self._store.holds(self._path, self._written, self._crc)
        except NotFound:
            own = False
            if isinstance(doubt, NotFound):
                doubt = StorageFailed(f"{doubt.message}: its upload is gone")
        self._discard()
        if not own:
            self.spoiled = True
            raise doubt

    def _discard(self) -> None:
        self._buffer = bytearray()
        if self._upload is None:
            return
        with suppress(Exception):
            self._upload.discard()
        # A driver's file closes itself when it is collected, and would publish what is to be dropped.
        self._upload.closed = True
