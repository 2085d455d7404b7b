"""Contrastive pretraining of an encoder on images and captions, as CLIP's.

Radford et al. 2021, https://arxiv.org/abs/2103.00020, section 2.3: images and captions of a batch are projected into
one space, and each image has to find its caption among all of them, and each caption its image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.checkpoints.tokenizer import Tokenizer, train_tokenizer
from workbench.contracts.encoder import Encoder
from workbench.layers.attention import Attention
from workbench.layers.mlp import MLP

LARGEST_SCALE = math.log(100.0)


class Contrastive(nn.Module):
    """The encoder with a small text tower and two projections, which are thrown away after the phase.

    `captions` are all captions of the training split: the tower's BPE is trained on them.
    """

    def __init__(self, encoder: Encoder, captions: Sequence[str], width: int = 128, depth: int = 2, heads: int = 4):
        super().__init__()
        self.encoder = encoder
        self.text = TextTower(train_tokenizer(captions, vocabulary_size=384), width, depth, heads)
        self.project_vision = nn.Linear(encoder.shape.width, width, bias=False)
        self.project_text = nn.Linear(width, width, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, images: Tensor, captions: Sequence[str]) -> Tensor:
        """images [P,3,H,W] and a caption for each -> the loss."""
        vision = functional.normalize(self.project_vision(self.encoder.pool(images)).float(), dim=-1)
        distinct = {caption: index for index, caption in enumerate(dict.fromkeys(captions))}
        text = functional.normalize(self.project_text(self.text(list(distinct))).float(), dim=-1)
        owner = torch.tensor([distinct[caption] for caption in captions], device=vision.device)
        scale = self.log_scale.clamp(max=LARGEST_SCALE).exp()
        # Autocast would round the logits, up to 100, to 8 bits: when the scale has grown that drowns the gradient.
        with torch.autocast(vision.device.type, enabled=False):
            return info_nce(scale * vision @ text[owner].T, owner)


class TextTower(nn.Module):
    """Captions to vectors: token and position embeddings, pre-norm blocks, mean over the tokens."""

    def __init__(self, tokenizer: Tokenizer, width: int, depth: int, heads: int, longest: int = 64):
        super().__init__()
        self.tokenizer = tokenizer
        self.longest = longest
        self.embedding = nn.Embedding(tokenizer.size, width)
        self.positions = nn.Parameter(0.02 * torch.randn(longest, width))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2 * depth))
        self.attentions = nn.ModuleList(Attention(width, heads) for _ in range(depth))
        self.mlps = nn.ModuleList(MLP(width, 4 * width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def forward(self, captions: Sequence[str]) -> Tensor:
        """C captions -> [C,D]."""
        ids = [self.tokenizer.encode_text(caption)[: self.longest] or [self.tokenizer.end] for caption in captions]
        length = max(map(len, ids))
        device = self.positions.device
        padded = torch.tensor([row + [self.tokenizer.padding] * (length - len(row)) for row in ids], device=device)
        real = torch.arange(length, device=device) < torch.tensor([[len(row)] for row in ids], device=device)  # [C,T]
        hidden = self.embedding(padded) + self.positions[:length]
        for index, (attention, mlp) in enumerate(zip(self.attentions, self.mlps, strict=True)):
            hidden = hidden + attention(self.norms[2 * index](hidden), real[:, None, None, :])
            hidden = hidden + mlp(self.norms[2 * index + 1](hidden))
        weights = real[..., None] / real.sum(1)[:, None, None]
        return (self.norm(hidden) * weights).sum(1)


def info_nce(logits: Tensor, owner: Tensor) -> Tensor:
    """Symmetric InfoNCE of logits [P,P] (image i with caption j), where equal `owner` [P] means equal captions.

    A caption that says the same as the image's own is no negative: it is right too. Such pairs share the target
    evenly (Khosla et al. 2020, https://arxiv.org/abs/2004.11362, the outside-sum loss); with distinct captions this
    is CLIP's loss.
    """
    same = (owner[:, None] == owner[None, :]).float()
    target = same / same.sum(1, keepdim=True)
    by_image = -(target * logits.log_softmax(1)).sum(1)
    by_caption = -(target * logits.log_softmax(0)).sum(0)
    return 0.5 * (by_image.mean() + by_caption.mean())
