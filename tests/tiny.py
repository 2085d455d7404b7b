"""Tiny real models and examples that many tests use."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor, nn

from workbench.checkpoints.tokenizer import Corpus
from workbench.contracts.encoder import Encoder, VisionShape
from workbench.contracts.example import Example
from workbench.contracts.fusion import Fusion
from workbench.data.collator import Collator
from workbench.model.vision_language_model import VisionLanguageModel
from workbench.registry import Registry, load_registry

FUSIONS = ("concat_projection", "cross_attention", "gated", "bidirectional")
DECODERS = {"gpt": {}, "llama": {"key_value_heads": 1}}
QUESTIONS = [
    [
        Example("0/0", "0", "is there a red shape?", ("yes",), "yes/no"),
        Example("0/1", "0", "what shape is in the image?", ("circle",), "shape"),
    ],
    [
        Example("1/0", "1", "what color is it?", ("blue",), "color"),
        Example("1/1", "1", "is there not a blue circle in the image?", ("no",), "yes/no"),
        Example("1/2", "1", "is it red?", ("no",), "yes/no"),
    ],
]


class TinyEncoder(Encoder):
    """A linear layer over four quadrants."""

    def __init__(self, width: int = 12):
        super().__init__()
        self.shape = VisionShape(width, 4)
        self.image_size = 8
        self.patches = nn.Conv2d(3, width, 4, 4)

    def forward(self, images: Tensor) -> Tensor:
        return self.patches(images).flatten(2).transpose(1, 2)


@cache
def builtin_registry() -> Registry:
    """The built-in plugins; nobody changes it."""
    return load_registry()


def texts() -> list[str]:
    return [text for row in QUESTIONS for each in row for text in (each.question, *each.answers)]


def images(count: int) -> Tensor:
    """Images [P,3,8,8]."""
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(1))


def tiny_model(name: str, fusion: Fusion | None = None, decoder_name: str = "gpt") -> VisionLanguageModel:
    """A model with the built-in fusion of that name, or with the one given."""
    torch.manual_seed(0)
    registry = builtin_registry()
    encoder = TinyEncoder()
    sizes = {"width": 16, "depth": 3, "heads": 2, "vocabulary_size": 300} | DECODERS[decoder_name]
    decoder = registry.create("language_model", decoder_name, Corpus(texts), **sizes)
    connector = registry.create("connector", "mlp", encoder.shape, decoder.shape.width)
    chosen: Fusion = fusion or registry.create("fusion", name, connector.shape, decoder.shape)
    return VisionLanguageModel(encoder, connector, chosen, decoder)


def collator(model: VisionLanguageModel, prompt: str) -> Collator:
    return Collator(model.language_model.tokenizer, prompt, model.fusion.reads_text)
