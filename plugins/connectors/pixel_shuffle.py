"""Fewer, wider image tokens: the patches of a square become one."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from workbench import Connector, UserError, VisionShape, hookimpl


class PixelShuffle(Connector):
    """The `factor` by `factor` patches of a square side by side in one token, then a linear layer.

    Space to depth, the inverse of Shi et al.'s pixel shuffle (https://arxiv.org/abs/1609.05158, section 3.2); between
    encoder and decoder as in InternVL 1.5 (https://arxiv.org/abs/2404.16821, section 3.1) and SmolVLM
    (https://arxiv.org/abs/2504.05299, section 2.2). Nothing is averaged away. The encoder must give patches of a
    square and no class token.
    """

    def __init__(
        self,
        vision: VisionShape,
        text_width: int,
        *,
        factor: Annotated[
            PositiveInt,
            Field(description="side, in patches, of the square that becomes one token: 2 leaves a quarter of them"),
        ] = 2,
    ):
        super().__init__()
        side = math.isqrt(vision.tokens)
        if side**2 != vision.tokens:
            raise UserError(
                f"pixel_shuffle needs the patches of a square, and {vision.tokens} tokens are none: leave out the"
                " encoder's class token, or take another connector"
            )
        if side % factor:
            raise UserError(
                f"squares of {factor} by {factor} patches do not fill {side} by {side}: choose a factor that divides"
                f" {side}"
            )
        self.side, self.factor = side, factor
        self.shape = VisionShape(text_width, vision.tokens // factor**2)
        self.projection = nn.Linear(vision.width * factor**2, text_width)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [P,N,Dv] -> [P,N / factor^2,D]."""
        few = self.side // self.factor
        square = tokens.unflatten(1, (few, self.factor, few, self.factor))  # rows and columns, each of so many patches
        return self.projection(square.transpose(2, 3).flatten(3).flatten(1, 2))


@hookimpl
def register_connectors(register):
    """Fewer, wider tokens: each is a square of patches."""
    register("pixel_shuffle", PixelShuffle)
