"""No encoder: the same tokens for every image, so that a model learns and answers from the text alone."""

from __future__ import annotations

from typing import Annotated

import torch
from PIL import Image
from pydantic import Field, PositiveInt
from torch import Tensor

from workbench import Encoder, VisionShape, hookimpl


class Blind(Encoder):
    """Tokens of zeros, whatever the image: the honest baseline of what a model sees is one trained without seeing.

    Connector, fusion and decoder stay as they are, and learn from the same questions in the same order; what the zeros
    become is a constant that they learn (a bias). It has no weights. Give it as many tokens, as wide, as the encoder it
    is compared with to compute as much.
    """

    reads_image = False

    def __init__(
        self,
        *,
        width: Annotated[PositiveInt, Field(description="width of the tokens")] = 128,
        tokens: Annotated[
            PositiveInt,
            Field(description="tokens an image; a square number that pixel_shuffle can divide, where that is used"),
        ] = 4,
    ):
        super().__init__()
        self.shape = VisionShape(width, tokens)
        self.image_size = 16

    def transform(self, image: Image.Image) -> Tensor:
        """Any image -> [3,H,W] of zeros."""
        return torch.zeros(3, self.image_size, self.image_size)

    def forward(self, images: Tensor) -> Tensor:
        """images [P,3,H,W] -> zeros [P,N,Dv]."""
        return images.new_zeros(len(images), self.shape.tokens, self.shape.width)


@hookimpl
def register_encoders(register):
    """Nothing is seen: the baseline that is trained blind."""
    register("none", Blind)
