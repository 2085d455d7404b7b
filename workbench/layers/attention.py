"""Scaled dot-product attention, and self-attention of many heads."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.layers.heads import heads_of
from workbench.layers.key_value_cache import KeyValueCache
from workbench.layers.rotary import rotate


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    mask: Tensor | None,
    scale: float | None = None,
    dropout: float = 0.0,
) -> Tensor:
    """Scaled dot-product attention: queries [R,H,S,E], keys [R,G,K,E] and values [R,G,K,F] -> [R,H,S,F].

    mask [R,1,S,K] bool, None: everything may be looked at. With fewer heads G of keys than of queries, H / G
    neighbouring heads of queries share one (Ainslie et al. 2023, https://arxiv.org/abs/2305.13245). Products are
    multiplied by `scale`, 1 / sqrt(E) by default, and weights dropped with probability `dropout`.

    On a CPU the kernel is slower in bf16 than in fp32, and its backward pass several times so: it runs in fp32.
    """
    if queries.shape[1] != keys.shape[1]:
        return _attend_grouped(queries, keys, values, mask, scale, dropout)
    if queries.device.type == "cpu" and _is_bf16(queries):
        with torch.autocast("cpu", enabled=False):
            wide = queries.float(), keys.float(), values.float()
            return functional.scaled_dot_product_attention(*wide, mask, dropout, scale=scale).bfloat16()
    return functional.scaled_dot_product_attention(queries, keys, values, mask, dropout, scale=scale)


def _is_bf16(tensor: Tensor) -> bool:
    """Whether a kernel would see it in bf16, of itself or by a CPU's autocast."""
    autocast = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return autocast or tensor.dtype == torch.bfloat16


def _attend_grouped(
    queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None, scale: float | None, dropout: float
) -> Tensor:
    """The heads of queries that share one of keys as if they were more queries: keys and values are not repeated."""
    rows, heads, length, width = queries.shape
    sharing = heads // keys.shape[1]
    queries = queries.reshape(rows, keys.shape[1], sharing * length, width)
    if mask is not None and length > 1:
        mask = mask.repeat(1, 1, sharing, 1)  # [R,1,H/G S,K]; for one query it is broadcast
    return attend(queries, keys, values, mask, scale, dropout).reshape(rows, heads, length, -1)


class Attention(nn.Module):
    """Multi-head self-attention (Vaswani et al. 2017, https://arxiv.org/abs/1706.03762)."""

    def __init__(self, width: int, heads: int, bias: bool = True):
        super().__init__()
        self.heads = heads
        self.head_width = heads_of(width, heads)
        self.qkv = nn.Linear(width, 3 * width, bias=bias)
        self.output = nn.Linear(width, width, bias=bias)

    def forward(
        self,
        hidden: Tensor,
        mask: Tensor | None = None,
        rotation: tuple[Tensor, Tensor] | None = None,
        cache: KeyValueCache | None = None,
        index: int = 0,
        places: Tensor | None = None,
    ) -> Tensor:
        """hidden [R,S,D], mask [R,1,S,K] bool or None for everything -> [R,S,D].

        `rotation` as `Rotary` gives it; `cache` and `index` keep the keys and values of block `index`. With `places`
        [R,L] only these look, the mask is [R,1,L,K], and so comes out [R,L,D].
        """
        rows, length, width = hidden.shape
        qkv = self.qkv(hidden).view(rows, length, 3, self.heads, self.head_width)
        qkv = qkv.permute(2, 0, 3, 1, 4)  # [3,R,H,S,E]
        queries, keys = qkv[:2] if rotation is None else rotate(qkv[:2], rotation)
        values = qkv[2]
        if cache is not None:
            keys, values = cache.extend(index, keys, values)
        if places is not None:
            queries = queries.gather(2, places[:, None, :, None].expand(-1, self.heads, -1, self.head_width))
        mixed = attend(queries, keys, values, mask)
        return self.output(mixed.transpose(1, 2).reshape(rows, queries.shape[2], width))
