"""The other peer: the same model as one writes it for this one purpose, without any workbench.

Plain modules in the order of ours, so that weights can be copied over by position. A row is one image and one
question: start token, image tokens, question, answer. Rows are padded at the right, so that attention is just causal.
"""

from __future__ import annotations

import torch
from llava import Size
from torch import Tensor, nn
from torch.nn import functional


class VisionBlock(nn.Module):
    """Pre-norm self-attention and MLP of CLIP."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.LayerNorm(width)
        self.qkv, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp_norm = nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        split = self.qkv(self.attention_norm(hidden)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = attend(*split)
        hidden = hidden + self.output(mixed.transpose(1, 2).flatten(2))
        inner = self.up(self.mlp_norm(hidden))
        return hidden + self.down(inner * torch.sigmoid(1.702 * inner))


class TextBlock(nn.Module):
    """Pre-norm causal self-attention and gated MLP of Llama."""

    def __init__(self, width: int, mlp_width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.attention_norm = nn.RMSNorm(width, eps=1e-6)
        self.query, self.key, self.value, self.output = (nn.Linear(width, width, bias=False) for _ in range(4))
        self.mlp_norm = nn.RMSNorm(width, eps=1e-6)
        self.gate, self.up = (nn.Linear(width, mlp_width, bias=False) for _ in range(2))
        self.down = nn.Linear(mlp_width, width, bias=False)

    def forward(self, hidden: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        normed = self.attention_norm(hidden)
        split = (layer(normed).unflatten(-1, (self.heads, -1)) for layer in (self.query, self.key, self.value))
        queries, keys, values = (part.transpose(1, 2) for part in split)
        queries, keys = turn(queries, cosine, sine), turn(keys, cosine, sine)
        mixed = attend(queries, keys, values, causal=True)
        hidden = hidden + self.output(mixed.transpose(1, 2).flatten(2))
        normed = self.mlp_norm(hidden)
        return hidden + self.down(functional.silu(self.gate(normed)) * self.up(normed))


class ByHand(nn.Module):
    """CLIP tower, two projecting layers, Llama."""

    def __init__(self, size: Size, vocabulary_size: int):
        super().__init__()
        width, heads = size.width, size.heads
        self.class_embedding = nn.Parameter(torch.zeros(width))
        self.position_embedding = nn.Parameter(torch.zeros(size.image_tokens + 1, width))
        self.patches = nn.Conv2d(3, width, size.patch_size, stride=size.patch_size, bias=False)
        self.norm_before = nn.LayerNorm(width)
        self.tower = nn.ModuleList(VisionBlock(width, heads) for _ in range(size.encoder_depth))
        self.norm_after = nn.LayerNorm(width)  # only there to have as many parameters
        self.project = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, width))
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.decoder = nn.ModuleList(TextBlock(width, size.mlp_width, heads) for _ in range(size.decoder_depth))
        self.norm = nn.RMSNorm(width, eps=1e-6)
        angles = torch.arange(256)[:, None] * 10_000.0 ** (-torch.arange(0, width // heads, 2) * heads / width)
        angles = torch.cat([angles, angles], 1)
        self.cosine, self.sine = nn.Buffer(angles.cos()), nn.Buffer(angles.sin())

    def loss(self, images: Tensor, ids: Tensor, labels: Tensor) -> Tensor:
        """images [R,3,H,W]; ids [R,T] = start, `<image>`, text ...; labels [R,T], what comes next, or -100."""
        patches = self.patches(images).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(images), 1, -1)
        vision = self.norm_before(torch.cat([first, patches], 1) + self.position_embedding)
        for block in self.tower:
            vision = block(vision)
        vision = self.project(vision[:, 1:])
        text = self.embedding(ids)
        hidden = torch.cat([text[:, :1], vision.to(text.dtype), text[:, 2:]], 1)
        cosine, sine = self.cosine[: hidden.shape[1]], self.sine[: hidden.shape[1]]
        for block in self.decoder:
            hidden = block(hidden, cosine, sine)
        hidden = self.norm(hidden)[:, vision.shape[1] - 1 :]
        labelled = labels >= 0
        return functional.cross_entropy(functional.linear(hidden[labelled], self.embedding.weight), labels[labelled])


def attend(queries: Tensor, keys: Tensor, values: Tensor, causal: bool = False) -> Tensor:
    """In fp32 also where all else is bf16: on a CPU its backward pass is several times quicker so."""
    with torch.autocast("cpu", enabled=False):
        return functional.scaled_dot_product_attention(queries.float(), keys.float(), values.float(), is_causal=causal)


def turn(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions."""
    first, second = heads.chunk(2, -1)
    return heads * cosine + torch.cat([-second, first], -1) * sine
