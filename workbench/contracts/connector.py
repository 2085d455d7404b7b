"""What a connector provides: image tokens of the encoder to those that the fusion takes."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from workbench.contracts.encoder import VisionShape


class Connector(nn.Module):
    """Image tokens of the encoder to image tokens the fusion takes. Sets `shape` in its constructor.

    Factory: `Connector(vision: VisionShape, text_width: int, *, options)`.
    """

    kind: ClassVar[str] = "connector"

    shape: VisionShape

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [P,N,Dv] -> tokens [P,M,shape.width]."""
        raise NotImplementedError
