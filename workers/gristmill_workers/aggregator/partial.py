"""What was published of a job that was cancelled: a part of its output, which the whole one may replace later.

`partial.json` in the job's folder says which bytes those are: {"size": bytes, "crc": crc32}. It is written before they
appear, so that no moment lies between in which they could be taken for somebody else's; until then `before` says what
of the job's own was there.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from gristmill.errors import Corrupt, NotFound
from gristmill_storage import job_folder
from gristmill_storage.documents import read_document
from gristmill_storage.files import Store
from gristmill_storage.output_index import fingerprint

#: Bytes and crc32 of a file.
Fingerprint = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Published:
    """What may be in the output's place that is the job's own."""

    #: None where nothing was published of the job before.
    own: tuple[Fingerprint, ...] = ()

    @staticmethod
    def read(folder: Store) -> Published:
        """Return what a job's folder says of it."""
        try:
            document = read_document(folder, job_folder.PARTIAL)
            both = (document, document.get("before"))
            return Published(own=tuple((one["size"], one["crc"]) for one in both if one))
        except (NotFound, Corrupt, TypeError, KeyError):
            return Published()  # what nobody can read proves nothing: what is there is somebody else's

    def note(self, folder: Store, output: Store, name: str, coming: Fingerprint) -> None:
        """Note that other bytes are about to appear as a part of the output."""
        present = fingerprint(output, name) if self.own else None
        present = None if present == coming else present  # an earlier try's
        before = dict(zip(("size", "crc"), present, strict=True)) if present and present in self.own else None
        document = {"size": coming[0], "crc": coming[1], "before": before}
        folder.replace(job_folder.PARTIAL, json.dumps(document).encode())
