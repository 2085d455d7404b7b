"""Parts that fit together and compute something wrong, each in a way that no shape shows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from workbench import Corpus, DecoderShape, Encoder, Fusion, LanguageModel, VisionShape, hookimpl
from workbench.conformance.reference_parts import ReferenceDecoder, ReferenceEncoder

BUILT: list[str] = []


class Drawing(ReferenceEncoder):
    """Shows other patches each time, as one that was pretrained by hiding some."""

    def __init__(self) -> None:
        super().__init__()
        BUILT.append("drawing")

    @classmethod
    def likeness(cls, options: Mapping[str, Any]) -> Encoder:
        return cls()

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images)[:, torch.randperm(4)]


class Longer(ReferenceEncoder):
    """Gives a token more than it says."""

    @classmethod
    def likeness(cls, options: Mapping[str, Any]) -> Encoder:
        return cls()

    def forward(self, images: Tensor) -> Tensor:
        tokens = super().forward(images)
        return torch.cat([tokens[:, :1], tokens], dim=1)


class OfCorpus(ReferenceDecoder):
    """A decoder that a plan tries as it is."""

    def __init__(self, corpus: Corpus) -> None:
        super().__init__(corpus)

    @classmethod
    def likeness(cls, corpus: Corpus, options: Mapping[str, Any]) -> LanguageModel:
        return cls(corpus)


class Counting(OfCorpus):
    """Counts places in the sequence, whatever positions it is given."""

    def forward(self, embeds: Tensor, positions: Tensor, mask: Tensor, cache: Any = None) -> Tensor:
        there = 0 if cache is None else cache.length
        counted = torch.arange(there, there + embeds.shape[1]).expand_as(positions)
        return super().forward(embeds, counted, mask, cache)


class Forgetful(OfCorpus):
    """Loses some of what it reads, also when it does not train."""

    def forward(self, embeds: Tensor, positions: Tensor, mask: Tensor, cache: Any = None) -> Tensor:
        return super().forward(nn.functional.dropout(embeds, 0.1), positions, mask, cache)


class Peeking(Fusion):
    """Lets every token look at the mean of the whole text."""

    def __init__(self, vision: VisionShape, decoder: DecoderShape) -> None:
        super().__init__()
        self.mean = nn.Linear(vision.width, decoder.width)

    def fuse_block(self, index: int, hidden: Tensor, vision: Any, prompt: Tensor | None) -> tuple[Tensor, Any]:
        return hidden + self.mean(hidden.mean(1, keepdim=True)), vision


class ThirdBlock(Fusion):
    """Right, where there are as many blocks."""

    def __init__(self, vision: VisionShape, decoder: DecoderShape) -> None:
        super().__init__()
        self.chosen = nn.ModuleList(nn.Linear(vision.width, decoder.width) for _ in range(decoder.depth))[2]


@hookimpl
def register_encoders(register):
    register("drawing", Drawing)
    register("longer", Longer)


@hookimpl
def register_language_models(register):
    register("counting", Counting)
    register("forgetful", Forgetful)


@hookimpl
def register_fusions(register):
    register("peeking", Peeking)
    register("third_block", ThirdBlock)
