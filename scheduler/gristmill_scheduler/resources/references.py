"""Every address that a request may name: those of `places`, and data assets, which lead to one of these.

azureml:<name>:<version>, azureml:<name>@<label>, azureml:<name>
/subscriptions/.../data/<name>/versions/<version>, azureml://locations/.../data/<name>/versions/labels/<label>
/data/<name>/versions/<version>                 as this server shows it in `id`
"""

from __future__ import annotations

import re
from typing import Final

from gristmill.errors import Mistake, ResourceNotFound
from gristmill_scheduler.resources.assets import LATEST
from gristmill_scheduler.resources.data import Data
from gristmill_scheduler.resources.places import SUPPORTED, Kind, Located, Places, is_datastore

_SHORT: Final = re.compile(r"azureml:(?P<name>[^:@/\s]+)(:(?P<version>[^:@/\s]+)|@(?P<label>[^:@/\s]+))?")
_LONG: Final = re.compile(
    r"(azureml:)?(//)?/?(subscriptions|locations|registries)/.+?/data/(?P<name>[^/\s]+)"
    r"/((versions/)?labels/(?P<label>[^/\s]+)|versions/(?P<version>[^/\s]+))/?",
    re.IGNORECASE,
)
_OWN: Final = re.compile(r"(azureml:)?/data/(?P<name>[^/\s]+)/versions/(?P<version>[^/\s]+)")


class References:
    """The addresses that a request may name."""

    def __init__(self, places: Places, data: Data) -> None:
        """Take where addresses lead, and the data assets."""
        self._places = places
        self._data = data

    def uri(self, text: str, *, kind: Kind) -> Located:
        """Return where an address leads.

        Raises:
            Forbidden: it is a folder of this machine that requests may not name.
            InputNotFound: there is nothing at a local path that is to be read.
            Mistake: it is no address that can be used here.
            ResourceNotFound: there is no such data asset, datastore or upload.

        """
        if is_datastore(text):
            return self._places.place(text, kind=kind)
        asset = _SHORT.fullmatch(text) or _LONG.fullmatch(text)
        if asset:
            return self._asset(text, asset, kind)
        own = _OWN.fullmatch(text)
        if own:
            try:
                return self._asset(text, own, kind)
            except ResourceNotFound:
                if text.startswith("azureml:"):
                    raise
        if text.lower().startswith(("/subscriptions/", "azureml:/subscriptions/")):
            raise Mistake(f"Invalid input path: {text[:200]} is no data asset. {SUPPORTED}")
        return self._places.place(text, kind=kind)

    def _asset(self, text: str, found: re.Match[str], kind: Kind) -> Located:
        if kind != "input":
            raise Mistake(
                f"{text[:200]}: a data asset is an input; as {kind} give a datastore's path "
                "(azureml://datastores/<name>/paths/<path>), or another address"
            )
        parts = found.groupdict()
        name, version = parts["name"], parts["version"]
        shown = self._data.get(name, version) if version else self._data.labelled(name, parts.get("label") or LATEST)
        document = shown.document
        place = self._places.place(document["path"], kind=kind)
        return Located(url=place.url, type=document["type"], origin=f"azureml:{name}:{document['version']}")
