"""AdamW of weights that lie in parts on several ranks, with the bits of AdamW of whole ones on a processor.

Its fused kernel works through vectors, and rounds what is left at a tensor's end in another way: where a part begins
and ends would show in the last bits. So each part is put at its place in a tensor of the whole's size, one weight after
the other: every rank computes as much as for the whole model. A GPU's kernel treats all numbers alike, and takes parts
as they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from workbench.training.tensor_parts import laid_out, take_back


class AdamWOfParts(torch.optim.AdamW):
    """torch's AdamW for `DTensor`s in main memory; its state is laid out as that of `torch.optim.AdamW`."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        """Move every weight that has a gradient."""
        for group in self.param_groups:
            parameters, gradients, means, squares, steps = [], [], [], [], []
            self._init_group(group, parameters, gradients, means, squares, [], steps)
            for parameter, gradient, mean, square, step in zip(
                parameters, gradients, means, squares, steps, strict=True
            ):
                self._step(group, [parameter, gradient, mean, square], step)

    def _step(self, group: dict[str, Any], parts: list[Tensor], step: Tensor) -> None:
        weight, gradient, mean, square = (laid_out(each) for each in parts)
        found_inf = getattr(self, "found_inf", None)  # it and the scale are there while a scaler of fp16 steps
        step += 1
        beta, second_beta = group["betas"]
        torch._fused_adamw_(  # pyright: ignore[reportPrivateImportUsage]
            [weight],
            [gradient],
            [mean],
            [square],
            [],
            [step],
            lr=group["lr"],
            beta1=beta,
            beta2=second_beta,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
            grad_scale=getattr(self, "grad_scale", None),
            found_inf=found_inf,
        )
        if found_inf is not None:
            step -= found_inf
        for part, whole in zip(parts, (weight, gradient, mean, square), strict=True):
            take_back(whole, part)
