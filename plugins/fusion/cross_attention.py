"""Scheme B: the text looks at the image between the decoder's blocks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, cast

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from workbench import CrossAttention, DecoderShape, Fusion, KeysValues, ViewPlaces, VisionShape, hookimpl

from ._options import Closed, Heads, Views


class CrossAttentionFusion(Fusion):
    """Before every `every`-th block, queries from the text, keys and values from the image (once an image).

    After Alayrac et al. 2022 (Flamingo, https://arxiv.org/abs/2204.14198, section 3.1.2); but of several images the
    text looks at all, not at the last one before it. The sequence keeps its length. A decoder trained from scratch does
    not need `closed`.
    """

    def __init__(
        self,
        vision: VisionShape,
        decoder: DecoderShape,
        *,
        every: Annotated[
            PositiveInt, Field(description="cross-attention before one block in so many, the first included")
        ] = 1,
        heads: Heads = 4,
        closed: Closed = True,
        views: Views = 1,
    ):
        super().__init__()
        self.every = every
        self.norm = nn.LayerNorm(vision.width)
        self.places = ViewPlaces(vision.width, vision.tokens, views)
        count = len(range(0, decoder.depth, every))
        self.norms = nn.ModuleList(nn.LayerNorm(decoder.width) for _ in range(count))
        self.attentions = nn.ModuleList(
            CrossAttention(decoder.width, vision.width, heads, closed) for _ in range(count)
        )

    def prepare(self, vision: Tensor, mask: Tensor | None) -> list[KeysValues]:
        """vision [G,M,Dv] -> keys and values of each cross-attention [G,H,M,E], with the mask [G,1,1,M]."""
        vision = self.places(self.norm(vision))
        layers = cast(Iterable[CrossAttention], self.attentions)
        return [layer.keys_values(vision, mask) for layer in layers]

    def fuse_block(
        self, index: int, hidden: Tensor, vision: list[KeysValues], prompt: Tensor | None
    ) -> tuple[Tensor, list[KeysValues]]:
        """hidden [R,S,D] -> hidden [R,S,D]."""
        if index % self.every == 0:
            place = index // self.every
            hidden = hidden + self.attentions[place](self.norms[place](hidden), vision[place])
        return hidden, vision


@hookimpl
def register_fusions(register):
    """Cross-attention in front of the decoder's blocks (scheme B)."""
    register("cross_attention", CrossAttentionFusion)
