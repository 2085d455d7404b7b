"""Two linear layers with a GELU from the encoder's width to the decoder's."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from workbench import MLP, Connector, TransformersPart, UserError, VisionShape, hookimpl


class MLPConnector(Connector):
    """Two layers with a GELU, Xavier-initialised, as LLaVA-1.5 (Liu et al. 2023, https://arxiv.org/abs/2310.03744)."""

    def __init__(
        self,
        vision: VisionShape,
        text_width: int,
        *,
        hidden: Annotated[
            PositiveInt | None, Field(description="width between the two layers; null: the decoder's")
        ] = None,
    ):
        super().__init__()
        self.shape = VisionShape(text_width, vision.tokens)
        self.mlp = MLP(vision.width, hidden or text_width, text_width)
        for layer in (self.mlp.up, self.mlp.down):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [P,N,Dv] -> [P,N,D]."""
        return self.mlp(tokens)

    def for_transformers(self) -> TransformersPart:
        """The projector of LLaVA-1.5."""
        up, down = self.mlp.up, self.mlp.down
        if up.out_features != down.out_features:
            raise UserError(
                f"between its layers it is {up.out_features} wide and not as the decoder {down.out_features}"
            )
        weights = {
            "linear_1.weight": up.weight,
            "linear_1.bias": up.bias,
            "linear_2.weight": down.weight,
            "linear_2.bias": down.bias,
        }
        return TransformersPart(weights=weights, settings={"projector_hidden_act": "gelu"})


@hookimpl
def register_connectors(register):
    """Two linear layers, as LLaVA-1.5 has them."""
    register("mlp", MLPConnector)
