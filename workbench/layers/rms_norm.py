"""Root mean square normalisation, and its quick ways on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

FEW_ROWS = 16  # up to here a normalisation takes the time of asking for its operations


class RMSNorm(nn.Module):
    """Root mean square normalisation (Zhang and Sennrich 2019, https://arxiv.org/abs/1910.07467).

    On a CPU torch makes it of eight operations and its gradient of more; in fp32 there are fewer here.
    """

    def __init__(self, width: int, epsilon: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden [..., D] -> [..., D]."""
        if hidden.device.type == "cpu" and hidden.dtype == self.weight.dtype == torch.float32:
            if torch.is_grad_enabled() or hidden.numel() > FEW_ROWS * hidden.shape[-1]:
                return _RMSNormOnCPU.apply(hidden, self.weight, self.epsilon)
            return self._few_rows(hidden)
        return functional.rms_norm(hidden, self.weight.shape, self.weight, self.epsilon)

    def _few_rows(self, hidden: Tensor) -> Tensor:
        """Layer normalisation, which is one operation: numbers beside their negatives have the mean 0, and what is
        left of it divides by the root mean square."""
        width = hidden.shape[-1]
        both = torch.cat((hidden, -hidden), dim=-1)
        return functional.layer_norm(both, (2 * width,), eps=self.epsilon).narrow(-1, 0, width) * self.weight


class _RMSNormOnCPU(torch.autograd.Function):
    """With the gradient written out: autograd takes 1.4 times as long and more for both directions."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        """hidden [..., D], weight [D] -> [..., D]."""
        norm = torch.linalg.vector_norm(hidden, dim=-1, keepdim=True)
        factor = norm.square_().mul_(1 / hidden.shape[-1]).add_(epsilon).rsqrt_()  # [..., 1]
        normed = hidden * factor
        ctx.save_for_backward(normed, factor, weight)
        return normed * weight

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        """What comes from above [..., D] -> the gradients of hidden [..., D] and weight [D]."""
        [gradient] = gradients
        normed, factor, weight = ctx.saved_tensors
        of_hidden, of_weight, _ = ctx.needs_input_grad
        into_weight = (gradient * normed).flatten(0, -2).sum(0) if of_weight else None
        if not of_hidden:
            return None, into_weight, None
        change = gradient * weight
        along = (change * normed).mean(dim=-1, keepdim=True)  # what would change the root mean square alone
        return change.addcmul_(normed, along, value=-1).mul_(factor), into_weight, None
