"""The names that paths carry, as routes declare them.

They are checked by the resources themselves, in their own words; here is only what OpenAPI says of them, and a length
that no name of ours has.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Path

_MOST = 300

#: An endpoint's name.
Endpoint = Annotated[str, Path(description="Name of a batch endpoint.", max_length=_MOST)]

#: A deployment's name.
Deployment = Annotated[str, Path(description="Name of a deployment of the endpoint.", max_length=_MOST)]

#: A resource's name.
Name = Annotated[str, Path(description="Name of the resource.", max_length=_MOST)]

#: A version of an asset.
Version = Annotated[str, Path(description="Version of the asset.", max_length=_MOST)]
