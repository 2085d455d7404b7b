"""What a phase can change: the parameters that train and the buffers, as those of batch norm."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
from torch import Tensor, nn

from workbench.training.not_finite import NotFiniteError
from workbench.training.tensor_parts import part_of


class PhaseWeights:
    """The weights of a module that can change, by name; `fixed` are names of buffers that no step changes."""

    def __init__(self, module: nn.Module, fixed: Collection[str] = ()):
        self.module = module
        self.fixed = fixed

    def named(self) -> dict[str, Tensor]:
        """The tensors themselves, which the next step changes."""
        trained = {name: each for name, each in self.module.named_parameters() if each.requires_grad}
        return trained | {name: each for name, each in self.module.named_buffers() if name not in self.fixed}

    def load(self, weights: Mapping[str, Tensor]) -> None:
        """Copy these over those of the same names, in place."""
        own = self.named()
        with torch.no_grad():
            for name, weight in weights.items():
                own[name].copy_(part_of(weight, own[name]))

    def check(self, phase: str, step: int) -> None:
        """`NotFiniteError` when a parameter that trains has a NaN or an infinite number in it."""
        for name, weight in self.named().items():
            if weight.requires_grad and not weight.isfinite().all():
                raise NotFiniteError(f"the weight {name} is no number in phase '{phase}' at step {step}")


def cpu_copies(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in main memory, which no later step changes."""
    return {name: each.detach().to("cpu", copy=True) for name, each in weights.items()}
