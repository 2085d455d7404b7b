"""A connector: the encoder's tokens become tokens that the fusion takes."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from workbench import Connector, VisionShape, hookimpl


class NewPlugin(Connector):
    """Averages neighbouring tokens until `tokens` are left, then one linear layer to the text's width."""

    # `vision` and `text_width` come from the workbench: what the encoder gives, and how wide the decoder is.
    # What stands behind the `*` is set in the experiment file: `connector: {name: new_plugin, tokens: 8}`.
    def __init__(
        self,
        vision: VisionShape,
        text_width: int,
        *,
        tokens: Annotated[PositiveInt, Field(description="tokens that are left of an image")] = 4,
    ):
        super().__init__()
        # The promise a connector makes: how wide its tokens are, and how many.
        self.shape = VisionShape(text_width, tokens)
        self.projection = nn.Linear(vision.width, text_width)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [P,N,Dv] -> [P,M,D]."""
        fewer = functional.adaptive_avg_pool1d(tokens.transpose(1, 2), self.shape.tokens).transpose(1, 2)  # [P,M,Dv]
        return self.projection(fewer)


@hookimpl
def register_connectors(register):
    """The name that experiment files use."""
    register("new_plugin", NewPlugin)
