"""A vision transformer in plain PyTorch, trained from scratch."""

from __future__ import annotations

from typing import Annotated

import numpy
import torch
from PIL import Image
from pydantic import Field, FiniteFloat, PositiveInt
from torch import Tensor, nn
from torch.nn import functional

from workbench import MLP, Attention, Encoder, Tiles, UserError, VisionShape, hookimpl


class Block(nn.Module):
    """Self-attention and MLP, each behind a LayerNorm and around a residual."""

    def __init__(self, width: int, heads: int, mlp_ratio: int):
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = MLP(width, mlp_ratio * width)

    def forward(self, hidden: Tensor) -> Tensor:
        """hidden [P,N,Dv] -> [P,N,Dv]."""
        hidden = hidden + self.attention(self.attention_norm(hidden))
        return hidden + self.mlp(self.mlp_norm(hidden))


class ViT(Encoder):
    """Native ViT: patches, learned absolute positions, pre-norm blocks (https://arxiv.org/abs/2010.11929).

    A convolutional stem learns faster from few images (Xiao et al. 2021, https://arxiv.org/abs/2106.14881);
    2^`stem_depth` must divide `patch_size`. Give `mean` and `deviation` of the data at hand where it is far from
    mid-grey.
    """

    def __init__(
        self,
        *,
        image_size: Annotated[
            PositiveInt, Field(description="side of the square that images are scaled to, in pixels")
        ] = 64,
        patch_size: Annotated[PositiveInt, Field(description="side of a patch, in pixels; divides image_size")] = 16,
        width: Annotated[PositiveInt, Field(description="width of the hidden states")] = 128,
        depth: Annotated[PositiveInt, Field(description="number of transformer blocks")] = 4,
        heads: Annotated[PositiveInt, Field(description="attention heads of a block")] = 4,
        mlp_ratio: Annotated[
            PositiveInt, Field(description="hidden width of a block's MLP, as a multiple of width")
        ] = 4,
        stem_depth: Annotated[
            int,
            Field(ge=0, description="stride-2 convolutions in front; 0: each patch is embedded by one linear layer"),
        ] = 0,
        mean: Annotated[
            FiniteFloat, Field(ge=0, le=1, description="mean that is subtracted from pixel values in [0, 1]")
        ] = 0.5,
        deviation: Annotated[FiniteFloat, Field(gt=0, description="standard deviation that they are divided by")] = 0.5,
        tiles: Tiles = 0,
    ):
        super().__init__()
        if image_size % patch_size:
            raise UserError(f"patch_size {patch_size} does not divide image_size {image_size}")
        if stem_depth >= patch_size.bit_length() or patch_size % 2**stem_depth:
            raise UserError(f"stem_depth {stem_depth} halves {stem_depth} times, but patch_size is {patch_size}")
        self.image_size, self.tiles = image_size, tiles
        self.mean, self.deviation = mean, deviation
        self.stem_depth = stem_depth
        tokens = (image_size // patch_size) ** 2
        self.shape = VisionShape(width, tokens)
        self.embedding = _embedding(width, patch_size, stem_depth)
        self.positions = nn.Parameter(torch.empty(tokens, width).normal_(std=0.02))
        self.blocks = nn.ModuleList(Block(width, heads, mlp_ratio) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def transform(self, image: Image.Image) -> Tensor:
        """An RGB image -> [3,H,W], standardised."""
        size = (self.image_size, self.image_size)
        image = image.convert("RGB")
        if image.size != size:
            image = image.resize(size, Image.Resampling.BICUBIC)
        pixels = numpy.array(image, dtype=numpy.float32)
        return torch.from_numpy(pixels).permute(2, 0, 1).div_(255).sub_(self.mean).div_(self.deviation)

    def forward(self, images: Tensor) -> Tensor:
        """images [P,3,H,W] -> tokens [P,N,Dv]."""
        if self.stem_depth:  # with its channels beside each other an image is convolved faster, and normed as it lies
            images = images.contiguous(memory_format=torch.channels_last)
        hidden = self.embedding(images).flatten(2).transpose(1, 2) + self.positions
        for block in self.blocks:
            hidden = block(hidden)
        return self.norm(hidden)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of [P,C,H,W]."""

    def forward(self, input: Tensor) -> Tensor:
        """[P,C,H,W] -> [P,C,H,W]."""
        normed = functional.layer_norm(input.movedim(1, -1), self.normalized_shape, self.weight, self.bias, self.eps)
        return normed.movedim(-1, 1)


def _embedding(width: int, patch_size: int, stem_depth: int) -> nn.Module:
    """[P,3,H,W] -> [P,Dv,H/patch,W/patch]: `stem_depth` convolutions, then one layer over what is left of a patch."""
    layers: list[nn.Module] = []
    channels = 3
    for level in reversed(range(stem_depth)):
        wider = max(16, width >> level)
        layers += [nn.Conv2d(channels, wider, 3, stride=2, padding=1), ChannelNorm(wider), nn.GELU()]
        channels = wider
    left = patch_size // 2**stem_depth
    return nn.Sequential(*layers, nn.Conv2d(channels, width, left, stride=left))


@hookimpl
def register_encoders(register):
    """A small vision transformer that starts untrained."""
    register("vit", ViT)
