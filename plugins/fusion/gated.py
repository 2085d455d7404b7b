"""Scheme B with a learned gate that weighs vision against text, channel by channel."""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from workbench import CrossAttention, DecoderShape, Fusion, VisionShape, hookimpl


class GatedFusion(Fusion):
    """Before every block, hidden = (1 - s) text + s vision with s = tanh(a) sigmoid(W [text, vision]).

    The gate is that of the gated multimodal unit (Arevalo et al. 2017, https://arxiv.org/abs/1702.01992, section 3.2),
    on what cross-attention finds in the picture; tanh(a) with a = 0 at the start (Flamingo,
    https://arxiv.org/abs/2204.14198, section 3.1.2) keeps it closed until it has learned something.
    """

    def __init__(self, vision: VisionShape, decoder: DecoderShape, *, heads: PositiveInt = 4):
        super().__init__()
        width, depth = decoder.width, decoder.depth
        self.norm = nn.LayerNorm(vision.width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.attentions = nn.ModuleList(CrossAttention(width, vision.width, heads, closed=False) for _ in range(depth))
        self.gates = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(depth))
        self.opening = nn.Parameter(torch.zeros(depth))

    def prepare(self, vision: Tensor) -> list[tuple[Tensor, Tensor]]:
        """vision [P,M,Dv] -> keys and values of each block [P,H,M,E]."""
        vision = self.norm(vision)
        return [layer.keys_values(vision) for layer in self.attentions if isinstance(layer, CrossAttention)]

    def fuse_block(
        self, index: int, hidden: Tensor, vision: list[tuple[Tensor, Tensor]], prompt: Tensor | None
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """hidden [R,S,D] -> hidden [R,S,D]."""
        text = self.norms[index](hidden)
        seen = self.attentions[index](text, vision[index])
        gate = torch.sigmoid(self.gates[index](torch.cat([text, seen], dim=-1)))
        share = torch.tanh(self.opening[index]) * gate
        return hidden + share * (seen - hidden), vision


@hookimpl
def register_fusions(register):
    """Gated scheme B."""
    register("gated", GatedFusion)
