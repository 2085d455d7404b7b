"""Weights of an adapter that have a row for each token, where the decoder here has tokens more: `<image>`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def tokens_of(model: nn.Module) -> int:
    """How many tokens a decoder's tokenizer has, or that of the decoder in a model; 0 where there is neither."""
    decoder: Any = getattr(model, "language_model", model)
    return getattr(getattr(decoder, "tokenizer", None), "size", 0)


def with_new_tokens(weight: Tensor, shape: Sequence[int], tokens: int) -> Tensor:
    """The weight as it is, or of that shape where this has only more `tokens` along one axis: the mean of all others,
    as a decoder's own weights begin there."""
    if weight.ndim != len(shape):
        return weight
    axes = [axis for axis, size in enumerate(shape) if size != weight.shape[axis]]
    if len(axes) != 1 or shape[axes[0]] != tokens or weight.shape[axes[0]] > tokens:
        return weight
    [axis] = axes
    mean = weight.float().mean(axis, keepdim=True).to(weight.dtype)
    wanted = [*weight.shape[:axis], tokens - weight.shape[axis], *weight.shape[axis + 1 :]]
    return torch.cat([weight, mean.expand(wanted)], axis)
