"""Tensors that lie in parts on several ranks (torch's `DTensor`), and what is done with them as with whole ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def whole_of(tensor: Tensor) -> Tensor:
    """The whole of a tensor that lies in parts on all ranks, each of which asks for it; any other as it is."""
    put_together = getattr(tensor, "full_tensor", None)
    return tensor if put_together is None else put_together()


def part_of(whole: Tensor, like: Tensor) -> Tensor:
    """Of a whole tensor what this rank holds of it, where it is one `like` that; any other as it is."""
    if not hasattr(like, "full_tensor") or whole.shape != like.shape:
        return whole
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    here = whole.to(like.device)
    return distribute_tensor(here, like.device_mesh, like.placements, src_data_rank=None)


def clip(parameters: Sequence[nn.Parameter], largest: float) -> None:
    """Scale the gradients down where their norm is larger. Of one that lies in parts, the norm is that of its whole, to
    the last bit."""
    gradients = [each.grad for each in parameters if each.grad is not None]
    if not any(hasattr(each, "full_tensor") for each in gradients):
        nn.utils.clip_grad_norm_(parameters, largest)
        return
    # What `clip_grad_norm_` calls, with one whole gradient at a time.
    norms = [torch._foreach_norm([whole_of(each)])[0] for each in gradients]  # pyright: ignore[reportPrivateImportUsage]
    norm = torch.linalg.vector_norm(torch.stack(norms))
    factor = torch.clamp(largest / (norm + 1e-6), max=1.0)
    for each in gradients:
        _local(each).mul_(factor)


def laid_out(part: Tensor) -> Tensor:
    """A tensor of the whole's size with this rank's part at its place, and zeros elsewhere; a whole one as it is."""
    if not hasattr(part, "full_tensor"):
        return part
    whole = torch.zeros(part.shape, dtype=part.dtype, device=part.device)
    _place(whole, part).copy_(_local(part))
    return whole


def take_back(whole: Tensor, part: Tensor) -> None:
    """Copy what stands at the place of this rank's part into it."""
    if whole is not part:
        _local(part).copy_(_place(whole, part))


def _place(whole: Tensor, part: Any) -> Tensor:
    """Where in the whole a part lies, which is one along the first dimension."""
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    size, offset = compute_local_shape_and_global_offset(part.shape, part.device_mesh, part.placements)
    return whole[offset[0] : offset[0] + size[0]]


def _local(tensor: Any) -> Tensor:
    return tensor.to_local() if hasattr(tensor, "full_tensor") else tensor
