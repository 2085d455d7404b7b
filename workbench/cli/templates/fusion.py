"""A fusion: how the decoder gets to see the image."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, cast

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from workbench import CrossAttention, DecoderShape, Fusion, KeysValues, VisionShape, hookimpl


class NewPlugin(Fusion):
    """Before the first `blocks` blocks, the text looks at the image, behind a gate that starts closed."""

    # `vision` and `decoder` come from the workbench: the image tokens, and the decoder they are for.
    # What stands behind the `*` is set in the experiment file: `fusion: {name: new_plugin, blocks: 1}`.
    def __init__(
        self,
        vision: VisionShape,
        decoder: DecoderShape,
        *,
        blocks: Annotated[PositiveInt, Field(description="the first so many blocks look at the image")] = 2,
        heads: Annotated[PositiveInt, Field(description="attention heads of each look")] = 4,
    ):
        super().__init__()
        count = min(blocks, decoder.depth)
        self.norms = nn.ModuleList(nn.LayerNorm(decoder.width) for _ in range(count))
        self.looks = nn.ModuleList(
            CrossAttention(decoder.width, vision.width, heads, closed=False) for _ in range(count)
        )
        # tanh(0) = 0: a new fusion changes nothing, so that a pretrained decoder starts as what it is.
        self.gates = nn.Parameter(torch.zeros(count))

    def prepare(self, vision: Tensor, mask: Tensor | None) -> list[KeysValues]:
        """vision [G,M,Dv] -> keys and values of each block [G,H,M,E]: once for some images, not once a token.
        The mask hides what is not there, where others in the batch have more images."""
        return [look.keys_values(vision, mask) for look in cast(Iterable[CrossAttention], self.looks)]

    def fuse_block(
        self, index: int, hidden: Tensor, vision: list[KeysValues], prompt: Tensor | None
    ) -> tuple[Tensor, list[KeysValues]]:
        """hidden [R,S,D], as block `index` will read it -> hidden [R,S,D]; `vision` goes on unchanged."""
        if index < len(self.looks):
            seen = self.looks[index](self.norms[index](hidden), vision[index])  # [R,S,D]
            hidden = hidden + torch.tanh(self.gates[index]) * seen
        return hidden, vision


@hookimpl
def register_fusions(register):
    """The name that experiment files use."""
    register("new_plugin", NewPlugin)
