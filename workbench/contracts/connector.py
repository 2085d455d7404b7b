"""What a connector provides: image tokens of the encoder to those that the fusion takes."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from workbench.checkpoints.llava_layout import TransformersPart
from workbench.contracts.encoder import VisionShape
from workbench.ingredient import Pretrainable


class Connector(nn.Module, Pretrainable):
    """Image tokens of the encoder to image tokens the fusion takes. Sets `shape` in its constructor.

    Factory: `Connector(vision: VisionShape, text_width: int, *, options)`.
    """

    kind: ClassVar[str] = "connector"

    shape: VisionShape

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [P,N,Dv] -> tokens [P,M,shape.width]."""
        raise NotImplementedError

    def for_transformers(self) -> TransformersPart | None:
        """Itself in the terms of transformers' LLaVA, for `workbench export --llava`; None for no counterpart there.

        A `UserError` says why it has none with these options.
        """
        return None
