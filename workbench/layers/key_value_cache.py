"""Keys and values of earlier tokens, kept while an answer is generated."""

from __future__ import annotations

import copy

import torch
from torch import Tensor


class KeyValueCache:
    """Keys and values of every block, each in a buffer allocated once.

    They keep their type, but on a CPU bf16 becomes fp32, in which `attend` needs all of them for every token.
    `length` tokens are filled. Blocks write behind it with `extend`; `advance` moves it once a forward pass.
    """

    def __init__(self, depth: int, capacity: int):
        self.capacity = capacity
        self.length = 0
        self._blocks: list[tuple[Tensor, Tensor] | None] = [None] * depth  # keys and values [R,H,capacity,E]

    def keep_rows(self, rows: Tensor) -> KeyValueCache:
        """A cache with these rows [R'] alone."""
        kept = copy.copy(self)
        kept._blocks = [block and (block[0][rows], block[1][rows]) for block in self._blocks]
        return kept

    def extend(self, index: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Append block `index`'s keys and values [R,H,S,E]; returns all of that block's [R,H,K,E]."""
        block = self._blocks[index]
        if block is None:
            block = self._blocks[index] = self._room(keys), self._room(values)
        kept_keys, kept_values = block
        start, new = self.length, keys.shape[2]
        kept_keys.narrow(2, start, new).copy_(keys)
        kept_values.narrow(2, start, new).copy_(values)
        return kept_keys.narrow(2, 0, start + new), kept_values.narrow(2, 0, start + new)

    def advance(self, tokens: int) -> None:
        """The `tokens` new tokens of this pass are now part of the cache."""
        self.length += tokens

    def _room(self, new: Tensor) -> Tensor:
        rows, heads, _, width = new.shape
        widens = new.device.type == "cpu" and new.dtype == torch.bfloat16
        return new.new_empty((rows, heads, self.capacity, width), dtype=torch.float32 if widens else new.dtype)
