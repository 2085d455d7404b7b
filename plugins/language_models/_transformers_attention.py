"""transformers' attention as the workbench runs it: by positions and a mask of its own, from a cache of its own."""

from __future__ import annotations

import functools
import sys
from typing import Any

import torch
from torch import Tensor, nn

from workbench import KeyValueCache, attend

HIDDEN = -1  # the distance to a token that may not be looked at


def own_attention(eager: bool) -> str:
    """Make our attention known to transformers, and return the name it has there. It lasts as long as the process."""
    from transformers import AttentionInterface

    name = f"workbench_{'eager' if eager else 'kernel'}"
    AttentionInterface.register(name, functools.partial(_attention, eager))
    return name


class DecoderCache(KeyValueCache):
    """What transformers' attention asks of a cache, on buffers allocated once; the position of each token as well."""

    def __init__(self, depth: int, capacity: int):
        super().__init__(depth, capacity)
        self._positions: Tensor | None = None  # [R,capacity]

    def update(self, keys: Tensor, values: Tensor, layer_idx: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append block `layer_idx`'s keys and values [R,H,S,E]; returns all of that block's [R,H,K,E]."""
        return self.extend(layer_idx, keys, values)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """How many tokens are in it."""
        return self.length

    def positions_with(self, new: Tensor) -> Tensor:
        """Append positions [R,S]; returns all [R,K]."""
        if self._positions is None:
            self._positions = new.new_empty(len(new), self.capacity)
        end = self.length + new.shape[1]
        self._positions[:, self.length : end] = new
        return self._positions[:, :end]

    def keep_rows(self, rows: Tensor) -> DecoderCache:
        """A cache with these rows [R'] alone."""
        kept = super().keep_rows(rows)
        assert isinstance(kept, DecoderCache)
        kept._positions = None if self._positions is None else self._positions[rows]
        return kept


def distances(mask: Tensor, positions: Tensor, all_positions: Tensor) -> Tensor:
    """mask [R,1,S,K], positions of queries [R,S] and keys [R,K] -> how far back each key is [R,1,S,K], or HIDDEN.

    In this form one mask serves blocks with and without a sliding window: several questions stand in a row, so that a
    token's place does not tell its distance, and transformers passes a mask with four dimensions on as it is.
    """
    distance = positions[:, :, None] - all_positions[:, None, :]  # [R,S,K]
    return distance.clamp_(min=0)[:, None].masked_fill(~mask, HIDDEN)


def _attention(
    eager: bool,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    dropout: float = 0.0,
    scaling: float | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """transformers' interface of an attention: query [R,H,S,E], key and value [R,G,K,E], distances -> [R,S,H,E].

    Scores that a family bends (`softcap`) or adds to (`s_aux`) need its own plain code.
    """
    visible = attention_mask >= 0
    window = others.pop("sliding_window") if "sliding_window" in others else _window_of(module)
    if window is not None:
        visible = visible & (attention_mask < window)
    if not eager and all(others.get(name) is None for name in ("softcap", "s_aux", "position_bias")):
        return attend(query, key, value, visible, scaling, dropout).transpose(1, 2).contiguous(), None
    plain = sys.modules[type(module).__module__].eager_attention_forward
    kind = query.dtype if query.dtype == key.dtype else torch.float32  # a cache on a CPU keeps bf16 as fp32
    query, key, value = (each.to(kind) for each in (query, key, value))
    added = torch.zeros(visible.shape, dtype=kind, device=query.device).masked_fill_(~visible, torch.finfo(kind).min)
    mixed, _ = plain(module, query, key, value, added, dropout=dropout, scaling=scaling, **others)
    return mixed, None


def _window_of(module: Any) -> int | None:
    """The window of a layer whose family tells the attention of none, where its own masks have one."""
    if not hasattr(sys.modules[type(module).__module__], "create_sliding_window_causal_mask"):
        return None
    if hasattr(module, "sliding_window"):
        return module.sliding_window
    config = getattr(module, "config", None)
    kinds = getattr(config, "layer_types", None)
    if kinds is not None and kinds[module.layer_idx] != "sliding_attention":
        return None
    return getattr(config, "sliding_window", None)
