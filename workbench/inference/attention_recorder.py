"""Records what attention looks at, whoever computes it, without a change to what is computed or to its usual way.

Every attention of a model goes through torch's kernel (as `workbench.attend` does) or through a softmax over scores
[R,H,S,K] of its own. Inside `Recorder` both are watched: of the kernel, which gives no weights, they are computed
beside it. Outside it nothing is watched, and nothing costs anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

SOFTMAXES = (torch.softmax, functional.softmax, Tensor.softmax)


class Recorder(TorchFunctionMode):
    """The weights of every attention in its body, by who looked: a name that `calling` gives to a stretch of it.

    Weights are means over heads [R,S,K].
    """

    def __init__(self, name: str):
        super().__init__()
        self.name = name
        self.weights: dict[str, list[Tensor]] = {}

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Pass every call on, and look at those of attention."""
        named = kwargs or {}
        result = func(*args, **named)
        if func is functional.scaled_dot_product_attention:
            self._keep(kernel_weights(*args, **named))
        elif func in SOFTMAXES and result.dim() == 4:
            self._keep(result)
        return result

    @contextmanager
    def calling(self, name: str) -> Iterator[None]:
        """In the body, or in calls of a function that this decorates, what is looked at is recorded under that name."""
        before, self.name = self.name, name
        try:
            yield
        finally:
            self.name = before

    def _keep(self, weights: Tensor) -> None:
        self.weights.setdefault(self.name, []).append(weights.float().mean(1))


def kernel_weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """The weights [R,H,S,K] of `scaled_dot_product_attention` with these arguments; where nothing is visible, zeros."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    scores = query.float() @ key.float().transpose(-1, -2) * (scale or 1 / math.sqrt(query.shape[-1]))
    if is_causal:
        attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if attn_mask is not None:
        scores = scores.masked_fill(~attn_mask, -math.inf) if attn_mask.dtype == torch.bool else scores + attn_mask
    return scores.softmax(-1).nan_to_num(0.0)
