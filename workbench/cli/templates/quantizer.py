"""A quantizer: fewer bits a weight after training."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from workbench import Quantizer, hookimpl


class HalfLinear(nn.Module):
    """A linear layer whose weight is kept in half precision. It is a buffer, so that its bytes are counted."""

    weight: Tensor

    def __init__(self, linear: nn.Linear):
        super().__init__()
        self.register_buffer("weight", linear.weight.detach().to(torch.float16))
        self.bias = linear.bias

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden [..., in] -> [..., out], computed in the precision of what comes in."""
        return functional.linear(hidden, self.weight.to(hidden.dtype), self.bias)


class NewPlugin(Quantizer):
    """Keeps the weights of linear layers in 16 bits."""

    bits = 16.0

    # What stands behind the `*` is set in the experiment file: `quantizer: {name: new_plugin, part: encoder}`.
    def __init__(
        self,
        *,
        part: Annotated[
            str | None, Field(description="part of the model that is quantized, such as encoder; null: the whole")
        ] = None,
    ):
        self.part = part

    def quantize(self, model: nn.Module) -> None:
        """Put another layer in the place of each linear one, in the whole model or in one part of it."""
        root = model if self.part is None else model.get_submodule(self.part)
        for parent in list(root.modules()):
            for name, child in list(parent.named_children()):
                if type(child) is nn.Linear:
                    setattr(parent, name, HalfLinear(child))


@hookimpl
def register_quantizers(register):
    """The name that experiment files use."""
    register("new_plugin", NewPlugin)
