"""An image encoder: an image becomes image tokens, one for each patch."""

from __future__ import annotations

from typing import Annotated

import numpy
import torch
from PIL import Image
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from workbench import MLP, Encoder, VisionShape, hookimpl


class NewPlugin(Encoder):
    """Each patch by itself, through a linear layer and an MLP; patches do not look at each other."""

    # What stands behind the `*` is set in the experiment file: `encoder: {name: new_plugin, width: 96}`.
    def __init__(
        self,
        *,
        image_size: Annotated[PositiveInt, Field(description="side of the square image, in pixels")] = 32,
        patch_size: Annotated[PositiveInt, Field(description="side of a patch, in pixels; divides image_size")] = 8,
        width: Annotated[PositiveInt, Field(description="width of the image tokens")] = 64,
    ):
        super().__init__()
        tokens = (image_size // patch_size) ** 2
        # The two promises an encoder makes: the size of the images it takes, and the tokens it gives.
        self.image_size = image_size
        self.shape = VisionShape(width, tokens)
        self.patches = nn.Conv2d(3, width, patch_size, stride=patch_size)
        self.positions = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.norm = nn.LayerNorm(width)
        self.mlp = MLP(width, 2 * width)

    def transform(self, image: Image.Image) -> Tensor:
        """An image of any size -> [3,H,W] in [-1, 1]."""
        image = image.convert("RGB").resize((self.image_size, self.image_size), Image.Resampling.BICUBIC)
        pixels = torch.from_numpy(numpy.array(image, dtype=numpy.float32))  # [H,W,3]
        return pixels.permute(2, 0, 1) / 127.5 - 1

    def forward(self, images: Tensor) -> Tensor:
        """images [P,3,H,W] -> tokens [P,N,Dv]."""
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.positions  # [P,N,Dv]
        return tokens + self.mlp(self.norm(tokens))


@hookimpl
def register_encoders(register):
    """The name that experiment files use."""
    register("new_plugin", NewPlugin)
