"""One linear layer from the encoder's width to the decoder's."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from workbench import Connector, TransformersPart, VisionShape, hookimpl


class Linear(Connector):
    """One linear layer, as LLaVA's first connector (Liu et al. 2023, https://arxiv.org/abs/2304.08485)."""

    def __init__(self, vision: VisionShape, text_width: int):
        super().__init__()
        self.shape = VisionShape(text_width, vision.tokens)
        self.projection = nn.Linear(vision.width, text_width)
        nn.init.xavier_uniform_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [P,N,Dv] -> [P,N,D]."""
        return self.projection(tokens)

    def for_transformers(self) -> TransformersPart:
        """transformers' LLaVA has two layers: the second one, and what is between them, change nothing here."""
        layer = self.projection
        weights = {
            "linear_1.weight": layer.weight,
            "linear_1.bias": layer.bias,
            "linear_2.weight": torch.eye(layer.out_features, dtype=layer.weight.dtype),
            "linear_2.bias": torch.zeros(layer.out_features, dtype=layer.weight.dtype),
        }
        return TransformersPart(weights=weights, settings={"projector_hidden_act": "linear"})


@hookimpl
def register_connectors(register):
    """One linear layer, as the first LLaVA has it."""
    register("linear", Linear)
