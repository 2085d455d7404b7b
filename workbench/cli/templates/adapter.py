"""An adapter: which parameters of a trained model are tuned further."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import nn

from workbench import Adapter, UserError, hookimpl


class NewPlugin(Adapter):
    """Tunes the biases alone (BitFit, Ben Zaken et al. 2021, https://arxiv.org/abs/2106.10199)."""

    # What stands behind the `*` is set in the experiment file: `adapter: {name: new_plugin, part: fusion}`.
    def __init__(
        self, *, part: Annotated[str, Field(description="part of the model whose biases train")] = "language_model"
    ):
        self.part = part

    def attach(self, model: nn.Module) -> list[nn.Parameter]:
        """Change `model` in place, without changing what it computes, and return the parameters that train.

        Here they are there already. An adapter that adds its own starts them so that they add nothing, and folds
        them into the weights in `merge`.
        """
        named = model.named_parameters()
        biases = [each for name, each in named if name.startswith(f"{self.part}.") and name.endswith("bias")]
        if not biases:
            raise UserError(f"the adapter 'new_plugin' finds no bias in {self.part}; choose another part")
        return biases


@hookimpl
def register_adapters(register):
    """The name that experiment files use."""
    register("new_plugin", NewPlugin)
