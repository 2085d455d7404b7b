"""Tiny parts that keep every contract: what a plugin under test is composed with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy
import torch
from PIL import Image
from torch import Tensor, nn

from workbench.checkpoints.tokenizer import Corpus, tokenizer_for
from workbench.contracts.connector import Connector
from workbench.contracts.encoder import Encoder, VisionShape
from workbench.contracts.fusion import Fusion
from workbench.contracts.language_model import DecoderShape, LanguageModel
from workbench.layers.attention import Attention
from workbench.layers.cross_attention import CrossAttention
from workbench.layers.key_value_cache import KeyValueCache
from workbench.layers.mlp import MLP
from workbench.layers.rms_norm import RMSNorm
from workbench.layers.rotary import Rotary

DEPTH, HEADS = 3, 4


class ReferenceEncoder(Encoder):
    """A linear layer over the four quadrants of an 8 x 8 image."""

    def __init__(self) -> None:
        super().__init__()
        self.image_size = 8
        self.shape = VisionShape(24, 4)
        self.patches = nn.Conv2d(3, 24, 4, 4)

    def transform(self, image: Image.Image) -> Tensor:
        """Squeezed to 8 x 8, in [-1, 1]."""
        pixels = numpy.array(image.convert("RGB").resize((8, 8)), dtype=numpy.float32)
        return torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1

    def forward(self, images: Tensor) -> Tensor:
        """images [P,3,8,8] -> tokens [P,4,24]."""
        return self.patches(images).flatten(2).transpose(1, 2)


class ReferenceConnector(Connector):
    """One linear layer, applied to each token alone."""

    def __init__(self, vision: VisionShape, text_width: int) -> None:
        super().__init__()
        self.shape = VisionShape(text_width, vision.tokens)
        self.projection = nn.Linear(vision.width, text_width)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens [P,N,Dv] -> [P,N,D]."""
        return self.projection(tokens)


class ReferenceFusion(Fusion):
    """Cross-attention between the blocks, and the image's mean added inside them: both kinds of hook are used."""

    def __init__(self, vision: VisionShape, decoder: DecoderShape) -> None:
        super().__init__()
        self.attention = CrossAttention(decoder.width, vision.width, 1, closed=False)
        self.mean = nn.Linear(vision.width, decoder.width)

    def prepare(self, vision: Tensor, mask: Tensor | None) -> Any:
        """vision [G,M,Dv] -> keys and values, and one vector for each set of images."""
        there = torch.ones_like(vision[..., :1]) if mask is None else mask[:, 0, 0, :, None].to(vision.dtype)
        mean = self.mean((vision * there).sum(1, keepdim=True) / there.sum(1, keepdim=True))
        return {"keys and values": self.attention.keys_values(vision, mask), "mean": mean}

    def fuse_block(self, index: int, hidden: Tensor, vision: Any, prompt: Tensor | None) -> tuple[Tensor, Any]:
        """hidden [R,S,D] -> [R,S,D]."""
        return hidden + self.attention(hidden, vision["keys and values"]), vision

    def fuse_attention(self, index: int, hidden: Tensor, vision: Any) -> Tensor:
        """hidden [R,S,D] -> [R,S,D]."""
        return vision["mean"].expand_as(hidden)


class ReferenceBlock(nn.Module):
    """Self-attention and MLP, each behind an RMSNorm and beside a residual connection."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(width)
        self.attention = Attention(width, HEADS)
        self.mlp_norm = RMSNorm(width)
        self.mlp = MLP(width, 2 * width)

    def forward(self, hidden: Tensor, mask: Tensor, rotation: Any, cache: KeyValueCache | None, index: int) -> Tensor:
        """hidden [R,S,D] -> [R,S,D]."""
        hidden = hidden + self.attention(self.attention_norm(hidden), mask, rotation, cache, index)
        return hidden + self.mlp(self.mlp_norm(hidden))


class ReferenceDecoder(LanguageModel):
    """A decoder with rotary positions, whose tokenizer is trained on the text it is given."""

    def __init__(self, corpus: Corpus, width: int = 64) -> None:
        super().__init__()
        self.tokenizer = tokenizer_for(corpus, 300)
        self.shape = DecoderShape(width, DEPTH, HEADS)
        self.embedding = nn.Embedding(self.tokenizer.size, width)
        self.layers = nn.ModuleList(ReferenceBlock(width) for _ in range(DEPTH))
        self.norm = RMSNorm(width)
        self.rotary = Rotary(width // HEADS)
        self.output = nn.Linear(width, self.tokenizer.size, bias=False)

    @property
    def blocks(self) -> Sequence[nn.Module]:
        """Those of `layers`, which hooks of a fusion are put on."""
        return list(self.layers)

    @property
    def attentions(self) -> Sequence[nn.Module]:
        """The self-attention of each block, whose output a fusion may add to."""
        return [cast(ReferenceBlock, layer).attention for layer in self.layers]

    def embed(self, ids: Tensor) -> Tensor:
        """ids [R,T] -> [R,T,D]."""
        return self.embedding(ids)

    def forward(self, embeds: Tensor, positions: Tensor, mask: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """embeds [R,S,D], positions [R,S], mask [R,1,S,K] -> hidden [R,S,D]."""
        rotation = self.rotary(positions)
        for index, layer in enumerate(self.layers):
            embeds = layer(embeds, mask, rotation, cache, index)
        if cache is not None:
            cache.advance(embeds.shape[1])
        return self.norm(embeds)

    def head(self, hidden: Tensor) -> Tensor:
        """hidden [..., D] -> logits [..., V]."""
        return self.output(hidden)

    def new_cache(self, rows: int, capacity: int) -> KeyValueCache:
        """A cache with room for the keys and values of every block; it grows with the rows it is given."""
        return KeyValueCache(self.shape.depth, capacity)
