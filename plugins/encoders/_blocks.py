"""How a tower's layer is counted."""

from __future__ import annotations

from workbench import UserError


def blocks_before(layer: int, depth: int) -> int:
    """How many of `depth` blocks are before the hidden state `layer`; -1 is the last."""
    used = depth + 1 + layer if layer < 0 else layer
    if not 0 <= used <= depth:
        raise UserError(
            f"layer {layer} is not among the hidden states 0 to {depth} (or -{depth + 1} to -1) of {depth} blocks"
        )
    return used
