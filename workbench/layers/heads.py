"""How a width is cut into the heads of an attention."""

from __future__ import annotations

from workbench.errors import UserError


def heads_of(width: int, heads: int) -> int:
    """The width of one head; `UserError` when `heads` does not divide `width`."""
    if width % heads:
        raise UserError(
            f"{heads} heads do not divide the width {width}; choose a width that is a multiple of the heads"
        )
    return width // heads
