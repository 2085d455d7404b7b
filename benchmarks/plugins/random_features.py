"""Stands in for a frozen encoder that costs nothing: what is left is the price of everything else."""

from __future__ import annotations

from typing import Annotated

import torch
from PIL import Image
from pydantic import Field, PositiveInt
from torch import Tensor

from workbench import Encoder, VisionShape, hookimpl


class RandomFeatures(Encoder):
    """`tokens` random tokens, each `width` wide, whatever the image shows."""

    def __init__(
        self,
        *,
        width: Annotated[PositiveInt, Field(description="width of a token")] = 768,
        tokens: Annotated[PositiveInt, Field(description="tokens of an image")] = 49,
    ):
        super().__init__()
        self.shape = VisionShape(width, tokens)
        self.image_size = 1

    def transform(self, image: Image.Image) -> Tensor:
        """Nothing of it: [3,1,1]."""
        return torch.zeros(3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """images [P,3,1,1] -> tokens [P,N,Dv]."""
        generator = torch.Generator(images.device).manual_seed(len(images))
        shape = len(images), self.shape.tokens, self.shape.width
        return torch.randn(shape, generator=generator, device=images.device)


@hookimpl
def register_encoders(register):
    """The encoder."""
    register("random_features", RandomFeatures)
