"""One linear layer from the encoder's width to the decoder's."""

from __future__ import annotations

from torch import Tensor, nn

from workbench import Connector, VisionShape, hookimpl


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


@hookimpl
def register_connectors(register):
    """The linear connector."""
    register("linear", Linear)
