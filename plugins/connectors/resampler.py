"""A fixed number of image tokens, whatever the encoder gives: learned queries look at the image."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from workbench import MLP, Connector, CrossAttention, VisionShape, hookimpl


class ResamplerBlock(nn.Module):
    """Queries look at the image and at themselves, then an MLP; each around a residual."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.query_norm = nn.LayerNorm(width)
        self.image_norm = nn.LayerNorm(width)
        self.attention = CrossAttention(width, width, heads, closed=False)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = MLP(width, 4 * width)

    def forward(self, queries: Tensor, image: Tensor) -> Tensor:
        """queries [P,M,D], image [P,N,D] -> queries [P,M,D]."""
        asking = self.query_norm(queries)
        seen = torch.cat([self.image_norm(image), asking], dim=1)
        queries = queries + self.attention(asking, seen)
        return queries + self.mlp(self.mlp_norm(queries))


class Resampler(Connector):
    """Perceiver resampler: learned queries, `depth` blocks of cross-attention (Flamingo, Idefics2).

    Alayrac et al. 2022 (https://arxiv.org/abs/2204.14198, section 3.1.1): keys and values are the image and the
    queries themselves. Laurencon et al. 2024 (Idefics2, https://arxiv.org/abs/2405.02246, section 3.1.3) use 64 queries
    and depth 3 after projecting to the decoder's width, as is done here; Flamingo depth 6 at the encoder's.
    """

    def __init__(
        self,
        vision: VisionShape,
        text_width: int,
        *,
        queries: Annotated[
            PositiveInt, Field(description="learned queries, each of which becomes an image token")
        ] = 64,
        depth: Annotated[PositiveInt, Field(description="blocks of cross-attention to the image")] = 3,
        heads: Annotated[PositiveInt, Field(description="attention heads of a block")] = 4,
    ):
        super().__init__()
        self.shape = VisionShape(text_width, queries)
        self.projection = nn.Linear(vision.width, text_width)
        self.queries = nn.Parameter(torch.empty(queries, text_width).normal_(std=0.02))
        self.blocks = nn.ModuleList(ResamplerBlock(text_width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(text_width)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [P,N,Dv] -> [P,M,D], M = queries."""
        image = self.projection(tokens)
        queries = self.queries.expand(len(tokens), -1, -1)
        for block in self.blocks:
            queries = block(queries, image)
        return self.norm(queries)


@hookimpl
def register_connectors(register):
    """A fixed number of queries, as Flamingo has them."""
    register("resampler", Resampler)
