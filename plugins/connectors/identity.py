"""No connector: the encoder's tokens as they are."""

from __future__ import annotations

from torch import Tensor

from workbench import Connector, VisionShape, hookimpl


class Identity(Connector):
    """The encoder's tokens unchanged; the fusion has to take the encoder's width."""

    def __init__(self, vision: VisionShape, text_width: int):
        super().__init__()
        self.shape = vision

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [P,N,Dv] -> the same tokens."""
        return tokens


@hookimpl
def register_connectors(register):
    """The connector that leaves tokens as the encoder gives them."""
    register("identity", Identity)
