"""Scheme B with a learned gate that weighs vision against text, channel by channel."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from workbench import CrossAttention, DecoderShape, Fusion, KeysValues, ViewPlaces, VisionShape, hookimpl

from ._options import Closed, Heads, Views


class GatedFusion(Fusion):
    """Before every block, a gate z mixes what the text says with what it sees: z vision + (1 - z) text.

    The gated multimodal unit (Arevalo et al. 2017, https://arxiv.org/abs/1702.01992, section 3.2): both sides go
    through a tanh, and z = sigmoid(W [text, vision]); here vision is what cross-attention finds in the image, and
    the mixture is added to the decoder's hidden state through one more layer, the one that `closed` starts at zero.
    """

    def __init__(
        self,
        vision: VisionShape,
        decoder: DecoderShape,
        *,
        heads: Heads = 4,
        closed: Closed = True,
        views: Views = 1,
    ):
        super().__init__()
        width, depth = decoder.width, decoder.depth
        self.norm = nn.LayerNorm(vision.width)
        self.places = ViewPlaces(vision.width, vision.tokens, views)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.attentions = nn.ModuleList(CrossAttention(width, vision.width, heads, closed=False) for _ in range(depth))
        self.texts = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.gates = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(depth))
        self.outputs = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        if closed:
            for parameter in self.outputs.parameters():
                nn.init.zeros_(parameter)

    def prepare(self, vision: Tensor, mask: Tensor | None) -> list[KeysValues]:
        """vision [G,M,Dv] -> keys and values of each block [G,H,M,E], with the mask [G,1,1,M]."""
        vision = self.places(self.norm(vision))
        layers = cast(Iterable[CrossAttention], self.attentions)
        return [layer.keys_values(vision, mask) for layer in layers]

    def fuse_block(
        self, index: int, hidden: Tensor, vision: list[KeysValues], prompt: Tensor | None
    ) -> tuple[Tensor, list[KeysValues]]:
        """hidden [R,S,D] -> hidden [R,S,D]."""
        text = self.norms[index](hidden)
        seen = torch.tanh(self.attentions[index](text, vision[index]))
        said = torch.tanh(self.texts[index](text))
        gate = torch.sigmoid(self.gates[index](torch.cat([text, seen], dim=-1)))
        return hidden + self.outputs[index](gate * seen + (1 - gate) * said), vision


@hookimpl
def register_fusions(register):
    """Gated cross-attention beside the decoder's self-attention (scheme B)."""
    register("gated", GatedFusion)
