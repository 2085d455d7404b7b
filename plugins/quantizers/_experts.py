"""Experts of transformers: the matrices of all experts of a block are one parameter [experts,out,in], of no layer.

In the plain ("eager") code of such a block each expert that is asked takes its matrix by its number. That code runs on
whatever can be asked so, and computes exactly what it does on the matrices.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

OF_EXPERTS = ("is_transposed", "has_gate", "config")  # set by `use_experts_implementation` of transformers


class Stack(nn.Module):
    """The matrices of a block's experts: `weight` [experts,out,in], or [experts,in,out] where it is `turned`."""

    def __init__(self, experts: nn.Module, name: str, weight: nn.Parameter):
        super().__init__()
        self.weight = weight
        self.turned: bool = getattr(experts, OF_EXPERTS[0])
        self.owner = (experts, name)  # in a tuple, so that it is not registered as a part

    @property
    def matrices(self) -> Tensor:
        """[experts,out,in]."""
        return self.weight.transpose(1, 2).contiguous() if self.turned else self.weight

    def replace(self, new: nn.Module) -> None:
        """Put a module in the parameter's place that gives the matrix of an expert when asked by its number."""
        name = self.owner[1]
        experts: Any = self.owner[0]
        del experts._parameters[name]
        experts.add_module(name, new)
        experts.config = copy.copy(experts.config)  # others of the decoder may be as they were
        experts.config._experts_implementation = "eager"


def stacks_of_experts(model: nn.Module) -> Iterator[tuple[str, Stack]]:
    """The stacks by the names of their parameters."""
    for name, module in model.named_modules():
        if type(module).__module__.startswith("transformers.") and all(hasattr(module, each) for each in OF_EXPERTS):
            for parameter, weight in module._parameters.items():
                if weight is not None and weight.ndim == 3:
                    yield f"{name}.{parameter}", Stack(module, parameter, weight)
