"""Attention from one sequence to another, whose keys and values are kept."""

from __future__ import annotations

from torch import Tensor, nn

from workbench.layers.attention import attend
from workbench.layers.heads import heads_of

KeysValues = tuple[Tensor, Tensor, Tensor | None]  # with the mask of the keys, None where all of them are there


class CrossAttention(nn.Module):
    """Queries from one sequence, keys and values from another, computed apart so that they can be kept.

    The last layer starts at zero when `closed`: the block then adds nothing until it has learned something.
    """

    def __init__(self, width: int, source_width: int, heads: int, closed: bool = True):
        super().__init__()
        self.heads = heads
        self.head_width = heads_of(width, heads)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(source_width, 2 * width)
        self.output = nn.Linear(width, width)
        if closed:
            nn.init.zeros_(self.output.weight)
            nn.init.zeros_(self.output.bias)

    def keys_values(self, source: Tensor, mask: Tensor | None = None) -> KeysValues:
        """source [R,M,Ds] -> keys and values [R,H,M,E], and the mask [R,1,1,M] of what of it is there."""
        rows, tokens, _ = source.shape
        both = self.key_value(source).view(rows, tokens, 2, self.heads, self.head_width)
        keys, values = both.permute(2, 0, 3, 1, 4)
        return keys, values, mask

    def forward(self, hidden: Tensor, source: Tensor | KeysValues, mask: Tensor | None = None) -> Tensor:
        """hidden [R,S,D], source [R,M,Ds] or what `keys_values` gave of it, mask [R,1,S or 1,M] bool -> [R,S,D]."""
        rows, length, width = hidden.shape
        keys, values, there = self.keys_values(source) if isinstance(source, Tensor) else source
        queries = self.query(hidden).view(rows, length, self.heads, self.head_width).transpose(1, 2)
        mixed = attend(queries, keys, values, there if mask is None else mask)
        return self.output(mixed.transpose(1, 2).reshape(rows, length, width))
