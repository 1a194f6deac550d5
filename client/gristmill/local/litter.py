"""Keeps Python's collector of garbage out of the way while a process imports: there is none, and it looks often."""

from __future__ import annotations

import gc


class Ignored:
    """A `with` block in which no garbage is looked for; nor, later on, among what was there at its end."""

    def __enter__(self) -> None:
        """Look for none from now on."""
        gc.disable()

    def __exit__(self, *_: object) -> None:
        """Look for it again. What there is now, modules above all, lives as long as the process."""
        gc.freeze()
        gc.enable()
