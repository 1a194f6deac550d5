"""Refusing a document for one field of it, in the form that its readers use."""

from __future__ import annotations

from gristmill.errors import Fault, InvalidDocument


def fault(source: str, field: str, message: str) -> InvalidDocument:
    """Return the error of a document (`source`: "data asset x") whose field cannot be used."""
    return InvalidDocument(source, (Fault(field=field, message=message),))
