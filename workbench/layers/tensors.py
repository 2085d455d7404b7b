"""Numbers picked out of a sequence, and the tensors in a nest of values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor


def pick(hidden: Tensor, places: Tensor) -> Tensor:
    """hidden [R,S,D] at the places [R,L] of its sequence -> [R,L,D]."""
    return hidden.gather(1, places[..., None].expand(-1, -1, hidden.shape[-1]))


def all_tensors(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Apply `change` to every tensor in a tensor, tuple, list or dict."""
    if isinstance(value, Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: all_tensors(item, change) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(all_tensors(item, change) for item in value)
    return value
