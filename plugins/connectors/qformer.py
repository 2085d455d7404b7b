"""Learned queries that talk to each other as well as look at the image."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from workbench import MLP, Attention, Connector, CrossAttention, VisionShape, hookimpl


class QFormerBlock(nn.Module):
    """Self-attention of the queries, in every `every`-th block cross-attention to the image, then an MLP.

    Each is normalised behind its residual, as in BERT, from which BLIP-2's is initialised.
    """

    def __init__(self, width: int, image_width: int, heads: int, looks: bool):
        super().__init__()
        self.attention = Attention(width, heads)
        self.attention_norm = nn.LayerNorm(width)
        self.look = CrossAttention(width, image_width, heads, closed=False) if looks else None
        self.look_norm = nn.LayerNorm(width) if looks else None
        self.mlp = MLP(width, 4 * width)
        self.mlp_norm = nn.LayerNorm(width)

    def forward(self, queries: Tensor, image: Tensor) -> Tensor:
        """queries [P,M,W], image [P,N,Dv] -> queries [P,M,W]."""
        queries = self.attention_norm(queries + self.attention(queries))
        if self.look is not None and self.look_norm is not None:
            queries = self.look_norm(queries + self.look(queries, image))
        return self.mlp_norm(queries + self.mlp(queries))


class QFormer(Connector):
    """A Q-Former's image side (BLIP-2, Li et al. 2023, https://arxiv.org/abs/2301.12597, section 3.1).

    Learned queries attend to each other and to the image; a linear layer takes them to the decoder's width. BLIP-2 has
    32 queries, 768 wide, in 12 blocks, and pretrains them with text in two stages of its own; here they learn with
    everything else.
    """

    def __init__(
        self,
        vision: VisionShape,
        text_width: int,
        *,
        queries: Annotated[
            PositiveInt, Field(description="learned queries, each of which becomes an image token")
        ] = 32,
        width: Annotated[PositiveInt, Field(description="width of the queries")] = 256,
        depth: Annotated[PositiveInt, Field(description="number of transformer blocks")] = 4,
        every: Annotated[
            PositiveInt, Field(description="one block in so many attends to the image, the first included")
        ] = 2,
        heads: Annotated[PositiveInt, Field(description="attention heads of a block")] = 4,
    ):
        super().__init__()
        self.shape = VisionShape(text_width, queries)
        self.queries = nn.Parameter(torch.empty(queries, width).normal_(std=0.02))
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            QFormerBlock(width, vision.width, heads, looks=index % every == 0) for index in range(depth)
        )
        self.projection = nn.Linear(width, text_width)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [P,N,Dv] -> [P,M,D], M = queries."""
        queries = self.norm(self.queries).expand(len(tokens), -1, -1)
        for block in self.blocks:
            queries = block(queries, tokens)
        return self.projection(queries)


@hookimpl
def register_connectors(register):
    """A fixed number of queries, as BLIP-2 has them."""
    register("qformer", QFormer)
